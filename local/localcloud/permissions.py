"""What a call asks of IAM: the actions, the resources that it names and the values that conditions look at.

The actions, their resources and the resources' ARNs are AWS's own tables, as parliament carries them.
"""

from __future__ import annotations

import functools
import importlib.resources
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

#: Services that IAM calls otherwise than their client is called.
PREFIXES = {
    "efs": "elasticfilesystem",
    "elbv2": "elasticloadbalancing",
    "resourcegroupstaggingapi": "tag",
    "service-quotas": "servicequotas",
    "stepfunctions": "states",
}

#: Operations whose action has another name.
ACTIONS = {
    ("s3", "CompleteMultipartUpload"): ["PutObject"],
    ("s3", "CopyObject"): ["PutObject", "GetObject"],
    ("s3", "CreateMultipartUpload"): ["PutObject"],
    ("s3", "DeleteBucketEncryption"): ["PutEncryptionConfiguration"],
    ("s3", "DeleteBucketLifecycle"): ["PutLifecycleConfiguration"],
    ("s3", "DeleteBucketOwnershipControls"): ["PutBucketOwnershipControls"],
    ("s3", "DeleteBucketTagging"): ["PutBucketTagging"],
    # Which of the two it is stands in the body.
    ("s3", "DeleteObjects"): ["DeleteObject", "DeleteObjectVersion"],
    ("s3", "DeletePublicAccessBlock"): ["PutBucketPublicAccessBlock"],
    ("s3", "GetBucketAccelerateConfiguration"): ["GetAccelerateConfiguration"],
    ("s3", "GetBucketCors"): ["GetBucketCORS"],
    ("s3", "GetBucketEncryption"): ["GetEncryptionConfiguration"],
    ("s3", "GetBucketInventoryConfiguration"): ["GetInventoryConfiguration"],
    ("s3", "GetBucketLifecycleConfiguration"): ["GetLifecycleConfiguration"],
    ("s3", "GetBucketNotificationConfiguration"): ["GetBucketNotification"],
    ("s3", "GetBucketReplication"): ["GetReplicationConfiguration"],
    ("s3", "GetObjectLockConfiguration"): ["GetBucketObjectLockConfiguration"],
    ("s3", "GetPublicAccessBlock"): ["GetBucketPublicAccessBlock"],
    ("s3", "HeadBucket"): ["ListBucket"],
    ("s3", "HeadObject"): ["GetObject"],
    ("s3", "ListBucketInventoryConfigurations"): ["GetInventoryConfiguration"],
    ("s3", "ListBuckets"): ["ListAllMyBuckets"],
    ("s3", "ListMultipartUploads"): ["ListBucketMultipartUploads"],
    ("s3", "ListObjectVersions"): ["ListBucketVersions"],
    ("s3", "ListObjects"): ["ListBucket"],
    ("s3", "ListObjectsV2"): ["ListBucket"],
    ("s3", "ListParts"): ["ListMultipartUploadParts"],
    ("s3", "PutBucketAccelerateConfiguration"): ["PutAccelerateConfiguration"],
    ("s3", "PutBucketCors"): ["PutBucketCORS"],
    ("s3", "PutBucketEncryption"): ["PutEncryptionConfiguration"],
    ("s3", "PutBucketLifecycleConfiguration"): ["PutLifecycleConfiguration"],
    ("s3", "PutBucketNotificationConfiguration"): ["PutBucketNotification"],
    ("s3", "PutBucketReplication"): ["PutReplicationConfiguration"],
    ("s3", "PutPublicAccessBlock"): ["PutBucketPublicAccessBlock"],
    ("s3", "UploadPart"): ["PutObject"],
}

#: Who makes something with tags needs the action that tags it, too.
TAGGING = {
    "acm": "AddTagsToCertificate",
    "autoscaling": "CreateOrUpdateTags",
    "cloudwatch": "TagResource",
    "ec2": "CreateTags",
    "ecr": "TagResource",
    "elasticache": "AddTagsToResource",
    "elasticloadbalancing": "AddTags",
    "kms": "TagResource",
    "logs": "TagResource",
    "secretsmanager": "TagResource",
    "sns": "TagResource",
    "ssm": "AddTagsToResource",
    "wafv2": "TagResource",
}
UNTAGGING = {"ecr": "UntagResource", "elasticache": "RemoveTagsFromResource"}
#: In IAM each kind has its own.
IAM_TAGGING = {"CreateInstanceProfile": "TagInstanceProfile", "CreatePolicy": "TagPolicy", "CreateRole": "TagRole"}
MAKES = re.compile(r"(Allocate|Copy|Create|Import|Put|Request|Run)(?![a-z])")

#: The parameters that fill a variable of an ARN, where they are called otherwise than the variable.
PARAMETERS = {
    "alias": ["AliasName", "KeyId"],
    "bucketname": ["Bucket"],
    "change:id": ["Id"],
    "groupfriendlyname": ["AutoScalingGroupName", "ResourceId"],
    "hostedzone:id": ["HostedZoneId", "Id"],
    "instanceprofilenamewithpath": ["InstanceProfileName"],
    "keyid": ["KeyId", "TargetKeyId"],
    "loadbalancername": ["Name"],
    "objectname": ["Key"],
    "parameternamewithoutleadingslash": ["Name", "Path", "ResourceId"],
    "policynamewithpath": ["PolicyName"],
    "rolenamewithpath": ["RoleName"],
    "secretid": ["SecretId", "Name"],
    "targetgroupname": ["Name"],
    "topicname": ["Name"],
}

#: EC2 tells what a thing is by how its id begins.
EC2_IDS = {
    "acl": "network-acl",
    "ami": "image",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "fl": "vpc-flow-log",
    "i": "instance",
    "igw": "internet-gateway",
    "lt": "launch-template",
    "nat": "natgateway",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
EC2_ID = re.compile(rf"({'|'.join(EC2_IDS)})-[0-9a-f]+$")

VARIABLE = re.compile(r"\$\{(\w+)\}")
#: A secret's ARN ends with six characters of Secrets Manager's choice.
SECRET_ENDING = "-??????"


@dataclass(frozen=True)
class Asked:
    """One action on one resource, and what conditions look at, with lower-case keys.

    Where a call leaves a part of the ARN open, `*` stands in it.
    """

    action: str
    resource: str
    context: dict[str, list[str]] = field(default_factory=dict, compare=False)


@functools.cache
def definition() -> dict[str, dict[str, Any]]:
    """AWS's tables: service prefix -> `actions` (name -> entry) and `resources` (type -> ARNs)."""
    text = importlib.resources.files("parliament").joinpath("iam_definition.json").read_text()
    services: dict[str, dict[str, Any]] = {}
    for entry in json.loads(text):
        service = services.setdefault(entry["prefix"], {"actions": {}, "resources": {}})
        for privilege in entry["privileges"]:
            service["actions"].setdefault(privilege["privilege"], privilege)
        for resource in entry["resources"]:
            service["resources"].setdefault(resource["resource"], []).append(resource["arn"])
    return services


def actions(service: str, operation: str, parameters: dict[str, Any]) -> list[str]:
    """The actions that an operation needs, as IAM spells them."""
    names = list(ACTIONS.get((service, operation), [operation]))
    if service == "s3" and parameters.get("versionId") and operation in ("DeleteObject", "GetObject", "HeadObject"):
        names = [f"{name}Version" for name in names]
    return [f"{PREFIXES.get(service, service)}:{name}" for name in names]


def _tagging(service: str, operation: str, parameters: dict[str, Any]) -> str:
    """The action that a call needs besides because it tags what it makes; empty for none."""
    prefix = PREFIXES.get(service, service)
    action = IAM_TAGGING.get(operation) if service == "iam" else TAGGING.get(prefix)
    tags = any(parameters.get(name) for name in ("Tags", "tags", "TagSpecifications"))
    return f"{prefix}:{action}" if action and tags and MAKES.match(operation) else ""


def leaves(parameters: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in the parameters, with the name of what holds it."""
    if isinstance(parameters, str):
        yield name, parameters
    elif isinstance(parameters, dict):
        for key, value in parameters.items():
            yield from leaves(value, key)
    elif isinstance(parameters, list):
        for value in parameters:
            yield from leaves(value, name)


def resources(action: str, parameters: dict[str, Any], region: str, account: str) -> list[str]:
    """ARNs of what an action is about; `*` if IAM knows no resource for it."""
    prefix, name = action.split(":")
    if action == "ec2:CreateTags" and "TagSpecifications" in parameters:
        kinds = [row["ResourceType"] for row in parameters["TagSpecifications"]]
        return [f"arn:aws:ec2:{region}:{account}:{kind}/*" for kind in kinds]
    service = definition()[prefix]
    # The kind of what is tagged stands in the call, and the table takes it for one of many.
    if prefix == "ssm" and parameters.get("ResourceType") == "Parameter":
        name = "GetParameter"
    if name not in service["actions"]:
        raise LookupError(f"IAM knows no action {action}: ACTIONS in {__name__} lacks the right one for the operation.")
    types = {
        row["resource_type"].removesuffix("*"): row["resource_type"].endswith("*")
        for row in service["actions"][name]["resource_types"]
        # The fleet has no network load balancers, and the two kinds share their parameters.
        if row["resource_type"] and "/net" not in row["resource_type"]
    }
    values = list(leaves(parameters))
    found: list[str] = []
    for kind, required in types.items():
        for template in service["resources"].get(kind, []):
            told = values
            if not required and {"Name", "Id"} & set(VARIABLE.findall(template)):
                # These are of what the call is about, not of other things that it may mention.
                told = [(key, value) for key, value in values if value.startswith("arn:")]
            arns, named = _arns(kind, template, told, region, account)
            if named or required:
                found += arns
    return list(dict.fromkeys(found)) or ["*"]


def _arns(kind: str, template: str, values: list[tuple[str, str]], region: str, account: str) -> tuple[list[str], bool]:
    """The ARNs of one type, with `*` for what the values leave open, and whether they name anything."""
    own = template.replace("${Partition}", "aws").replace("${Region}", region).replace("${Account}", account)
    pattern = re.compile(".+".join(re.escape(part) for part in re.split(r"\$\{\w+\}", own)))
    given = [value for _, value in values if pattern.fullmatch(value)]
    if not given and ":ec2:" in own:
        ids = [value for _, value in values if (match := EC2_ID.match(value)) and EC2_IDS[match[1]] == kind]
        given = [VARIABLE.sub(value, own) for value in ids]
    if given:
        return given, True
    variables = VARIABLE.findall(own)
    fillings = list(itertools.product(*(_fillings(kind, variable, values) for variable in variables)))
    return [_filled(own, filling) for filling in fillings], {"*"} != set(itertools.chain(*fillings))


def _fillings(kind: str, variable: str, values: list[tuple[str, str]]) -> list[str]:
    names = PARAMETERS.get(f"{kind}:{variable}".lower()) or PARAMETERS.get(variable.lower()) or [variable]
    wanted = {spelling for name in names for spelling in (name.lower(), f"{name.lower()}s")}
    fillings = [_bare(variable, value) for name, value in values if name.lower() in wanted]
    return [value for value in fillings if value] or ["*"]


def _bare(variable: str, value: str) -> str:
    """The value as it stands in an ARN; empty if it names another kind of thing."""
    if variable == "SecretId":
        return value if value.startswith("arn:") else value + SECRET_ENDING
    if variable == "Alias":
        return value.rpartition("alias/")[2] if "alias/" in value else ""
    if variable == "KeyId":
        return "" if "alias/" in value else value.rpartition("/")[2]
    if variable == "ParameterNameWithoutLeadingSlash":
        # Who asks by path asks for all that lies there.
        return value.removeprefix("/") + ("*" if value.endswith("/") else "")
    if variable == "Id":
        return re.sub(r"^/(hostedzone/|change/)?", "", value)
    if variable == "Scope":
        return value.lower()
    return value


def _filled(template: str, filling: Iterable[str]) -> str:
    rest = iter(filling)
    return VARIABLE.sub(lambda _: next(rest), template)


def asked(service: str, operation: str, parameters: dict[str, Any], region: str, account: str) -> list[Asked]:
    """Everything that a call asks of IAM."""
    context = {
        "aws:securetransport": ["true"],
        "cloudwatch:namespace": [value for name, value in leaves(parameters) if name == "Namespace"],
        "iam:awsservicename": [value for name, value in leaves(parameters) if name == "AWSServiceName"],
        "s3:prefix": [parameters["prefix"]] if parameters.get("prefix") else [],
    }
    known = {key: value for key, value in context.items() if value}
    return [
        Asked(action, resource, known)
        for action, about in _about(service, operation, parameters, region, account).items()
        for resource in about
    ]


def _about(service: str, operation: str, parameters: dict[str, Any], region: str, account: str) -> dict[str, list[str]]:
    """The resources of each action."""
    found = {
        action: resources(action, parameters, region, account) for action in actions(service, operation, parameters)
    }
    for arn in parameters.get("ResourceARNList", []) if operation in ("TagResources", "UntagResources") else []:
        # The tagging API does it in the caller's name.
        prefix = arn.split(":")[2]
        tags = TAGGING[prefix] if operation == "TagResources" else UNTAGGING[prefix]
        found.setdefault(f"{prefix}:{tags}", []).append(arn)
    tagging = _tagging(service, operation, parameters)
    if tagging:
        made = next(iter(found.values()))
        # What is made is what is tagged; EC2 says it itself, and what has no name is known by its kind only.
        own = service == "ec2" or made == ["*"]
        found[tagging] = resources(tagging, parameters, region, account) if own else made
    return found
