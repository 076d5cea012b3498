"""The deployer's own policy, from the calls that playbooks really made.

    python -m localcloud.deployer .cache/calls/*.json            writes docs/deployer-policy.json
    python -m localcloud.deployer --check .cache/calls/*.json    tells what differs, and exits 1 then

A file holds what `GET /localcloud/calls` told after the playbooks ran, and is named after the fleet: staging.json.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from localcloud.permissions import asked
from localcloud.settings import ACCOUNT_ID

Calls = Iterable[dict[str, Any]]
Document = dict[str, Any]

FILE = Path(__file__).parents[2] / "docs/deployer-policy.json"
VERSION = "2012-10-17"
#: A managed policy may have so many characters, blanks not counted ...
LIMIT = 6144
#: ... with the longest values that the placeholders can have.
LONGEST = {"${account}": 12, "${region}": 14, "${fleet}": 20}
#: Anybody may.
FREE = {"sts:GetCallerIdentity"}
FLEET_TAG = "aws:ResourceTag/chromafleet:fleet"
#: What has no name is removed only if it carries the fleet's tag.
REMOVES = re.compile(r"\w+:(Delete|Schedule|Terminate)")
TAGGED_ONLY = ("ec2", "kms")

HERE = "${region}:${account}"
HOST_ROLES = "arn:aws:iam::${account}:role/${fleet}-*"


def _statement(name: str, actions: list[str], resources: list[str], **conditions: Any) -> Document:
    more = {"Condition": conditions} if conditions else {}
    return {"Sid": name, "Effect": "Allow", "Action": sorted(actions), "Resource": sorted(resources), **more}


#: What AWS asks for besides, though nobody calls it: the actions that bring it, and the statement.
IMPLIED = [
    # Instances start in the name of who makes the group.
    (
        {"autoscaling:CreateAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup"},
        _statement(
            "StartInstances",
            ["ec2:CreateTags", "ec2:RunInstances"],
            [
                "arn:aws:ec2:${region}::image/*",
                *(
                    f"arn:aws:ec2:{HERE}:{kind}/*"
                    for kind in (
                        "instance",
                        "launch-template",
                        "network-interface",
                        "security-group",
                        "subnet",
                        "volume",
                    )
                ),
            ],
        ),
    ),
    # Who gives a role to a service must be allowed to hand it on.
    (
        {"autoscaling:CreateAutoScalingGroup", "ec2:CreateFlowLogs", "iam:AddRoleToInstanceProfile"},
        _statement(
            "HandRolesOn",
            ["iam:PassRole"],
            [HOST_ROLES],
            StringEquals={"iam:PassedToService": ["ec2.amazonaws.com", "vpc-flow-logs.amazonaws.com"]},
        ),
    ),
    # The first group, load balancer or cache of an account makes the service's own role.
    (
        {
            "autoscaling:CreateAutoScalingGroup",
            "elasticache:CreateReplicationGroup",
            "elasticloadbalancing:CreateLoadBalancer",
        },
        _statement(
            "MakeServicesOwnRoles",
            ["iam:CreateServiceLinkedRole"],
            ["arn:aws:iam::${account}:role/aws-service-role/*"],
            StringEquals={
                "iam:AWSServiceName": [
                    "autoscaling.amazonaws.com",
                    "elasticache.amazonaws.com",
                    "elasticloadbalancing.amazonaws.com",
                    "spot.amazonaws.com",
                ]
            },
        ),
    ),
    # An interface endpoint's private DNS is a hosted zone of AWS's own.
    (
        {"ec2:CreateVpcEndpoint"},
        _statement("NameEndpoints", ["route53:AssociateVPCWithHostedZone"], ["*"]),
    ),
    # Docker pushes and pulls with what GetAuthorizationToken gave.
    (
        {"ecr:GetAuthorizationToken"},
        _statement(
            "PushImages",
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:CompleteLayerUpload",
                "ecr:GetDownloadUrlForLayer",
                "ecr:InitiateLayerUpload",
                "ecr:PutImage",
                "ecr:UploadLayerPart",
            ],
            [f"arn:aws:ecr:{HERE}:repository/chromafleet/${{fleet}}/*"],
        ),
    ),
    # A web ACL names rule groups of AWS's, and a load balancer takes it.
    (
        {"wafv2:CreateWebACL", "wafv2:UpdateWebACL"},
        _statement(
            "UseManagedRules",
            ["wafv2:CreateWebACL", "wafv2:UpdateWebACL"],
            [f"arn:aws:wafv2:{HERE}:regional/managedruleset/*/*"],
        ),
    ),
    (
        {"wafv2:AssociateWebACL"},
        _statement(
            "GuardLoadBalancer",
            ["elasticloadbalancing:SetWebAcl"],
            [f"arn:aws:elasticloadbalancing:{HERE}:loadbalancer/app/${{fleet}}/*"],
        ),
    ),
    # Volumes, repositories, secrets and the cache are encrypted in the deployer's name.
    (
        {"kms:CreateKey"},
        _statement(
            "UseOwnKey",
            [
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:Encrypt",
                "kms:GenerateDataKey",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ],
            [f"arn:aws:kms:{HERE}:key/*"],
            StringEquals={FLEET_TAG: "${fleet}"},
        ),
    ),
    # A host that is updated leaves its target groups, and its group replaces nothing meanwhile.
    (
        {"autoscaling:CreateAutoScalingGroup"},
        _statement(
            "TakeHostsOutOfService",
            ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"],
            [f"arn:aws:elasticloadbalancing:{HERE}:targetgroup/${{fleet}}-*"],
        ),
    ),
    # With hosts, a run waits for their health.
    (
        {"autoscaling:CreateAutoScalingGroup"},
        _statement(
            "KnowHealth",
            ["autoscaling:DescribeInstanceRefreshes", "elasticloadbalancing:DescribeTargetHealth"],
            ["*"],
        ),
    ),
    # Another machine image is another version of a launch template.
    (
        {"autoscaling:CreateAutoScalingGroup"},
        _statement(
            "ChangeTemplates",
            ["ec2:CreateLaunchTemplateVersion", "ec2:ModifyLaunchTemplate"],
            [f"arn:aws:ec2:{HERE}:launch-template/*"],
            StringEquals={FLEET_TAG: "${fleet}"},
        ),
    ),
    (
        {"autoscaling:CreateAutoScalingGroup"},
        _statement(
            "ReplaceInstances",
            ["autoscaling:ResumeProcesses", "autoscaling:StartInstanceRefresh", "autoscaling:SuspendProcesses"],
            [f"arn:aws:autoscaling:{HERE}:autoScalingGroup:*:autoScalingGroupName/${{fleet}}-*"],
        ),
    ),
    # A blue/green update shares requests between target groups, looks how they are answered, and plans when those that
    # stand by end.
    (
        {"elasticloadbalancing:CreateRule"},
        _statement(
            "ShareRequests",
            ["elasticloadbalancing:ModifyRule"],
            [f"arn:aws:elasticloadbalancing:{HERE}:listener-rule/app/${{fleet}}/*"],
        ),
    ),
    ({"elasticloadbalancing:CreateRule"}, _statement("CompareAnswers", ["cloudwatch:GetMetricData"], ["*"])),
    (
        {"autoscaling:CreateAutoScalingGroup"},
        _statement(
            "PlanTheEnd",
            ["autoscaling:DeleteScheduledAction", "autoscaling:PutScheduledUpdateGroupAction"],
            [f"arn:aws:autoscaling:{HERE}:autoScalingGroup:*:autoScalingGroupName/${{fleet}}-*"],
        ),
    ),
    # A rotation needs hosts, which learn the new token before anybody uses it.
    (
        {"secretsmanager:CreateSecret"},
        _statement(
            "RotateSecrets",
            ["secretsmanager:UpdateSecret"],
            [f"arn:aws:secretsmanager:{HERE}:secret:chromafleet/${{fleet}}/*"],
        ),
    ),
    # Who goes back to an earlier release looks which there were, and takes the archive of one.
    (
        {"ssm:PutParameter"},
        _statement(
            "KnowReleases",
            ["ssm:GetParameterHistory"],
            [f"arn:aws:ssm:{HERE}:parameter/chromafleet/${{fleet}}/*"],
        ),
    ),
    (
        {"ssm:PutParameter"},
        _statement("TakeEarlierRelease", ["s3:GetObjectVersion"], ["arn:aws:s3:::chromafleet-${fleet}-*"]),
    ),
    # Ansible's SSH goes through a session of Systems Manager.
    (
        {"ec2:DescribeInstances"},
        _statement(
            "ConnectToHosts",
            ["ssm:StartSession"],
            [f"arn:aws:ec2:{HERE}:instance/*", "arn:aws:ssm:${region}::document/AWS-StartSSHSession"],
        ),
    ),
]


def actions_of(calls: Calls, fleet: str, account: str = ACCOUNT_ID) -> dict[str, set[str]]:
    """Action -> ARNs, with placeholders for fleet, region and account and `*` for what has no name of the fleet's."""
    found: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        for one in asked(call["service"], call["operation"], call["parameters"], call["region"], account):
            if one.action not in FREE:
                found[one.action].add(general(one.resource, fleet, call["region"], account))
    return found


@functools.cache
def general(arn: str, fleet: str, region: str, account: str) -> str:
    """The ARN of everything of its kind that the fleet may have."""
    if arn == "*":
        return arn
    placed = arn
    for name, value in (("account", account), ("region", region)):
        placed = re.sub(rf"(?<![a-z0-9]){value}(?![a-z0-9])", f"${{{name}}}", placed)
    head, resource = placed.split(":")[:5], placed.split(":", 5)[5]
    named = re.match(rf"(.*?(?<![a-z0-9])){re.escape(fleet)}(?![a-z0-9])(.*)$", resource)
    if named:
        rest = named[2]
        kept = re.match(r"(?:.*\})?[-/:]?", rest)
        ending = f"{kept[0]}*" if kept and kept[0] != rest else rest
        resource = f"{named[1]}${{fleet}}{ending}"
    elif "*" not in resource:
        resource = re.sub(r"[:/].*", lambda rest: f"{rest[0][0]}*", resource)
    return ":".join([*head, resource])


def policy_of(actions: dict[str, set[str]]) -> list[Document]:
    """The policies that allow the actions, each within the limit of a managed policy."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for action, arns in sorted(actions.items()):
        prefix = action.split(":")[0]
        only_tagged = REMOVES.match(action) and prefix in TAGGED_ONLY and all("${fleet}" not in arn for arn in arns)
        groups[(prefix, "tagged" if only_tagged else "", *_widest(arns))].append(action)
    numbers: dict[str, int] = defaultdict(int)
    statements = []
    for (prefix, tagged, *arns), names in sorted(groups.items()):
        numbers[prefix] += 1
        sid = re.sub(r"\W", "", prefix.title()) + str(numbers[prefix])
        conditions = {"StringEquals": {FLEET_TAG: "${fleet}"}} if tagged else {}
        statements.append(_statement(sid, names, arns, **conditions))
    implied = [statement for triggers, statement in IMPLIED if triggers & actions.keys()]
    return _packed([*statements, *implied])


def _widest(arns: set[str]) -> list[str]:
    """The ARNs without those that another one holds."""
    return sorted(
        arn for arn in arns if not any(other != arn and fnmatchcase(arn, other.replace("[", "[[]")) for other in arns)
    )


def size(document: Document) -> int:
    """Characters of a policy as IAM counts them, with the longest values that it may get."""
    text = json.dumps(document, separators=(",", ":"))
    return len(text) + sum(text.count(name) * (longest - len(name)) for name, longest in LONGEST.items())


def _packed(statements: list[Document]) -> list[Document]:
    documents: list[Document] = []
    for statement in statements:
        if documents:
            wider = {"Version": VERSION, "Statement": [*documents[-1]["Statement"], statement]}
            if size(wider) <= LIMIT:
                documents[-1] = wider
                continue
        documents.append({"Version": VERSION, "Statement": [statement]})
    return documents


def filled(documents: list[Document], **values: str) -> list[Document]:
    """The policies with values for the placeholders."""
    text = json.dumps(documents)
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return json.loads(text)


def generate(files: Iterable[Path]) -> str:
    """The text of docs/deployer-policy.json."""
    actions: dict[str, set[str]] = defaultdict(set)
    for file in files:
        for action, arns in actions_of(json.loads(file.read_text()), fleet=file.stem).items():
            actions[action] |= arns
    policies = {f"chromafleet-deployer-{n}": document for n, document in enumerate(policy_of(actions), 1)}
    return json.dumps(policies, indent=2) + "\n"


def main() -> int:
    """Write the policy, or compare it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("calls", nargs="+", type=Path, help="<fleet>.json")
    options = parser.parse_args()
    text = generate(options.calls)
    if not options.check:
        FILE.write_text(text)
        return 0
    told = differences(json.loads(FILE.read_text()), json.loads(text))
    print("\n".join(told) or "docs/deployer-policy.json is what the playbooks call.")
    return 1 if told else 0


def differences(kept: dict[str, Document], made: dict[str, Document]) -> list[str]:
    """What the kept policies allow and the playbooks don't call, and the reverse, one sentence each."""
    before, after, kept_in = _pairs(kept), _pairs(made), "docs/deployer-policy.json"
    return [
        *(f"{action} on {arn} is called, but {kept_in} doesn't allow it: run make deployer-policy."
          for action, arn in sorted(after - before)),
        *(f"{action} on {arn} is allowed by {kept_in}, but nothing calls it: run make deployer-policy."
          for action, arn in sorted(before - after)),
    ]  # fmt: skip


def _pairs(policies: dict[str, Document]) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for document in policies.values()
        for statement in document["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


if __name__ == "__main__":
    sys.exit(main())
