"""IAM, once it is enforced: `POST /moto-api/reset-auth` with 0 begins that, with Infinity it ends."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError
from moto.autoscaling.models import autoscaling_backends
from moto.core.authorization import ActionAuthenticatorMixin, enable_iam_authentication
from moto.core.exceptions import AccessDeniedError
from moto.core.request import determine_request_protocol
from moto.core.utils import get_service_model
from moto.ec2.models import ec2_backends
from moto.iam import access_control
from moto.iam.models import Policy
from moto.kms.models import kms_backends

from localcloud.aws import OWN_KEY
from localcloud.calls import CLIENTS, parameters_of
from localcloud.faults import error
from localcloud.judge import allows
from localcloud.patches import Client, restores
from localcloud.permissions import Asked, asked

#: Services that refuse with another code than AccessDenied.
REFUSALS = {"ec2": "UnauthorizedOperation", "sns": "AuthorizationError"}
ARN = re.compile(r"arn:[\w-]+:(?P<service>[\w-]+):(?P<region>[\w-]*):(?P<account>\d*):(?P<rest>.+)")

#: The response object whose request is being judged, its operation and what was refused, of each thread.
_current = threading.local()


@functools.cache
def _install() -> None:
    """Judge calls with localcloud.judge instead of moto's own, which is what the patches below need."""
    stock = ActionAuthenticatorMixin._authenticate_and_authorize_action

    def authorize(self: Any, iam_request_cls: type, resource: str = "*") -> None:
        if f"Credential={OWN_KEY}/" in self.headers.get("Authorization", ""):
            return
        _current.response = self
        stock(self, iam_request_cls, resource)

    def check(self: Any, resource: str) -> None:
        service = CLIENTS.get(self._service, self._service)
        operation, parameters = parameters_of(service, _current.response.normalized_request)
        if (service, operation) == ("sts", "GetCallerIdentity"):
            return
        documents = [_document(policy) for policy in self._access_key.collect_policies()]
        boundary = _boundary(self)
        for one in asked(service, operation, parameters, self._region, self.account_id):
            known = replace(one, context=one.context | _tags(one))
            if not allows(documents, known) or (boundary and not allows([boundary], known)):
                _current.operation, _current.refused = operation, one
                self._raise_access_denied()

    ActionAuthenticatorMixin._authenticate_and_authorize_action = authorize
    access_control.IAMRequestBase.check_action_permitted = check


def _document(policy: Any) -> dict[str, Any]:
    """An inline policy of a role comes as a text, one of a user in a dictionary, a managed one as an object."""
    if isinstance(policy, Policy):
        return json.loads(next(version.document for version in policy.versions if version.is_default))
    return json.loads(policy if isinstance(policy, str) else policy["policy_document"])


def _boundary(request: Any) -> dict[str, Any] | None:
    role = getattr(request._access_key, "_owner_role_name", None)
    arn = request.backend.get_role(role).permissions_boundary_arn if role else None
    return _document(request.backend.get_policy(arn)) if arn else None


def _tags(one: Asked) -> dict[str, list[str]]:
    """The tags of the resource, where the project's policies look at them."""
    match = ARN.match(one.resource)
    tags: dict[str, str] = TAGS[match["service"]](match) if match and match["service"] in TAGS else {}
    return {
        f"{prefix}:resourcetag/{key.lower()}": [value]
        for key, value in tags.items()
        for prefix in ("aws", one.action.split(":", 1)[0])
    }


def _group_tags(match: re.Match[str]) -> dict[str, str]:
    group = autoscaling_backends[match["account"]][match["region"]].autoscaling_groups.get(
        match["rest"].rpartition("/")[2]
    )
    return {tag["Key"]: tag["Value"] for tag in group.tags} if group else {}


def _ec2_tags(match: re.Match[str]) -> dict[str, str]:
    return dict(ec2_backends[match["account"]][match["region"]].tags.get(match["rest"].rpartition("/")[2], {}))


def _kms_tags(match: re.Match[str]) -> dict[str, str]:
    backend, key = kms_backends[match["account"]][match["region"]], match["rest"].rpartition("/")[2]
    listed = backend.list_resource_tags(key)["Tags"] if key in backend.keys else []
    return {tag["TagKey"]: tag["TagValue"] for tag in listed}


TAGS: dict[str, Callable[[re.Match[str]], dict[str, str]]] = {
    "autoscaling": _group_tags,
    "ec2": _ec2_tags,
    "kms": _kms_tags,
}


@restores(
    "An action has the name that IAM gives it: PutMetricData is cloudwatch's, ListObjectsV2 asks for s3:ListBucket"
)
def actions() -> None:
    _install()


@restores("A statement holds for the resources that it names: another secret is refused, and so are its like elsewhere")
def resources() -> None:
    _install()


@restores("A statement holds under its conditions only; one whose condition fails denies nothing")
def conditions() -> None:
    _install()


@restores("A permissions boundary takes away what it doesn't allow")
def boundary() -> None:
    _install()


@restores("A refusal has the service's protocol and code: AccessDeniedException in JSON, UnauthorizedOperation in EC2")
def refusals() -> None:
    def refuse(self: Any) -> None:
        service = CLIENTS.get(self._service, self._service)
        content_type = self._headers.get("Content-Type", "")
        json_service = determine_request_protocol(get_service_model(service), content_type) in ("json", "rest-json")
        code = "AccessDeniedException" if json_service else REFUSALS.get(service, "AccessDenied")
        what = f"{_current.refused.action} on resource: {_current.refused.resource}"
        refusal = AccessDeniedError(user_arn=self._access_key.arn, action=what)
        refusal.description = error(service, _current.operation, content_type, code, refusal.message)[1].decode()
        refusal.code = 400 if json_service else 403
        raise refusal

    access_control.IAMRequest._raise_access_denied = refuse


@restores("AWS asks nobody for what it does itself, such as handing an instance its role's credentials")
def own_calls() -> None:
    _install()


@restores("The signature of a call without a body is right")
def signature() -> None:
    stock = access_control.IAMRequestBase._create_aws_request

    def create(self: Any) -> Any:
        request = stock(self)
        if self._method == "GET":
            request.data = b""
        return request

    access_control.IAMRequestBase._create_aws_request = create


# --- The probes ---------------------------------------------------------------------------------------------------


class _Probe:
    """A role with one policy, and what it may do."""

    def __init__(self, client: Client, *statements: dict[str, Any], boundary: str = "") -> None:
        iam = client("iam")
        more = {"PermissionsBoundary": boundary} if boundary else {}
        iam.create_role(RoleName="probe", AssumeRolePolicyDocument="{}", **more)
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_role_policy(RoleName="probe", PolicyName="probe", PolicyDocument=document)
        arn = iam.get_role(RoleName="probe")["Role"]["Arn"]
        keys = client("sts").assume_role(RoleArn=arn, RoleSessionName="probe")["Credentials"]
        self._keys = {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }
        self._client = client

    def code(self, service: str, method: str, **arguments: Any) -> str:
        """The error with which a call is answered; empty for none."""
        with enable_iam_authentication():
            try:
                getattr(self._client(service, **self._keys), method)(**arguments)
            except ClientError as error:
                return error.response["Error"]["Code"] or "unreadable"
        return ""


def _allow(action: str, resource: str = "*", **conditions: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": conditions}


@actions.shown_by
def _actions(client: Client) -> bool:
    client("s3").create_bucket(Bucket="probe")
    probe = _Probe(client, _allow("cloudwatch:PutMetricData"), _allow("s3:ListBucket", "arn:aws:s3:::probe"))
    data = [{"MetricName": "m", "Value": 1}]
    return (
        probe.code("cloudwatch", "put_metric_data", Namespace="N", MetricData=data) == ""
        and probe.code("s3", "list_objects_v2", Bucket="probe") == ""
    )


@resources.shown_by
def _resources(client: Client) -> bool:
    for name in ("own", "other"):
        client("secretsmanager").create_secret(Name=name, SecretString="x")
    probe = _Probe(client, _allow("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:own-??????"))
    return (
        probe.code("secretsmanager", "get_secret_value", SecretId="own") == ""
        and probe.code("secretsmanager", "get_secret_value", SecretId="other") != ""
    )


@conditions.shown_by
def _conditions(client: Client) -> bool:
    probe = _Probe(
        client,
        _allow("cloudwatch:PutMetricData", StringEquals={"cloudwatch:namespace": "Other"}),
        _allow("cloudwatch:PutMetricData", StringEquals={"cloudwatch:namespace": "Own"}),
    )
    data = [{"MetricName": "m", "Value": 1}]
    return (
        probe.code("cloudwatch", "put_metric_data", Namespace="Own", MetricData=data) == ""
        and probe.code("cloudwatch", "put_metric_data", Namespace="Third", MetricData=data) != ""
    )


@boundary.shown_by
def _boundary_holds(client: Client) -> bool:
    document = {"Version": "2012-10-17", "Statement": [_allow("ec2:DescribeVpcs")]}
    made = client("iam").create_policy(PolicyName="boundary", PolicyDocument=json.dumps(document))
    probe = _Probe(client, _allow("ec2:*"), boundary=made["Policy"]["Arn"])
    return probe.code("ec2", "describe_vpcs") == "" and probe.code("ec2", "describe_subnets") != ""


@own_calls.shown_by
def _own_calls(client: Client) -> bool:
    with enable_iam_authentication():
        client("ec2", aws_access_key_id=OWN_KEY, aws_secret_access_key=OWN_KEY).describe_vpcs()
    return True


@refusals.shown_by
def _refusals(client: Client) -> bool:
    probe = _Probe(client, _allow("s3:ListAllMyBuckets"))
    return (
        probe.code("ecr", "describe_repositories"),
        probe.code("ec2", "describe_vpcs"),
        probe.code("autoscaling", "describe_auto_scaling_groups"),
        probe.code("route53", "list_hosted_zones"),
    ) == ("AccessDeniedException", "UnauthorizedOperation", "AccessDenied", "AccessDenied")


@signature.shown_by
def _signature(client: Client) -> bool:
    return _Probe(client, _allow("route53:*")).code("route53", "list_hosted_zones") == ""
