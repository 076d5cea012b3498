# SPDX-License-Identifier: Apache-2.0
"""What AWS still lists of a fleet: by the tagging API, and by each service's own listing.

The two complete each other. A service also lists what has lost its tag, by names that only this fleet has; the tagging
API finds what no listing here looks for. It goes on naming things that are gone, so of the kinds that a service lists
completely only that listing counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import FLEET_TAG, tag_dict

if TYPE_CHECKING:
    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader

# DescribeTags takes so many at a time.
TAGS_AT_ONCE = 20
KEY_TYPES = ["RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"]
# Type in the ARN, operation, key of the answer, key of the id, key of the state, states in which it is gone.
EC2 = (
    ("volume", "describe_volumes", "Volumes", "VolumeId", "State", ("deleting", "deleted")),
    ("vpc", "describe_vpcs", "Vpcs", "VpcId", "State", ()),
    ("subnet", "describe_subnets", "Subnets", "SubnetId", "State", ()),
    ("route-table", "describe_route_tables", "RouteTables", "RouteTableId", "", ()),
    ("internet-gateway", "describe_internet_gateways", "InternetGateways", "InternetGatewayId", "", ()),
    ("natgateway", "describe_nat_gateways", "NatGateways", "NatGatewayId", "State", ("deleted", "failed")),
    ("elastic-ip", "describe_addresses", "Addresses", "AllocationId", "", ()),
    ("security-group", "describe_security_groups", "SecurityGroups", "GroupId", "", ()),
    ("vpc-endpoint", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", "State", ("deleted", "expired")),
    ("vpc-flow-log", "describe_flow_logs", "FlowLogs", "FlowLogId", "", ()),
    ("launch-template", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId", "", ()),
    ("network-interface", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId", "", ()),
)
# These two call the argument Filter.
FILTER = ("describe_nat_gateways", "describe_flow_logs")


@dataclass(frozen=True)
class Resource:
    """Something that AWS lists; gone, or kept on purpose with the reason, or neither."""

    kind: str
    name: str
    arn: str
    gone: bool = False
    kept: str = ""


def arn_type(arn: str) -> str:
    """Service and type of an ARN: `ec2:instance`, `sns:topic` for one that has no type."""
    _arn, _partition, service, _region, _account, rest = arn.split(":", 5)
    if service in ("s3", "sns"):
        return {"s3": "s3:bucket", "sns": "sns:topic"}[service]
    parts = rest.replace(":", "/", 1).split("/")
    return f"{service}:{parts[1] if service == 'wafv2' else parts[0]}"


class Search:
    """One fleet in one account and region."""

    def __init__(self, aws: Reader, endpoints: list[str]) -> None:
        """`endpoints` are the host names whose DNS records are the fleet's."""
        self.aws = aws
        self.endpoints = endpoints
        _arn, self.partition, _service, _region, self.account, _rest = aws.call("sts", "get_caller_identity")[
            "Arn"
        ].split(":", 5)
        rows = aws.pages(
            "resourcegroupstaggingapi",
            "get_resources",
            "ResourceTagMappingList",
            TagFilters=[{"Key": FLEET_TAG, "Values": [aws.fleet]}],
        )
        self.tagged = {row["ResourceARN"].removesuffix(":*") for row in rows}
        # Names that only this fleet's resources have. `<fleet>-` alone may begin the name of another fleet.
        self.own_prefixes = (
            f"chromafleet/{aws.fleet}/",
            f"/chromafleet/{aws.fleet}/",
            f"/chromafleet-network/{aws.fleet}/",
            f"chromafleet-{aws.fleet}-{self.account}-",
            f"{aws.fleet}-{aws.region}-",
        )

    def arn(self, service: str, rest: str) -> str:
        """An ARN in this account and region."""
        return f"arn:{self.partition}:{service}:{self.aws.region}:{self.account}:{rest}"

    def owns(self, name: str, arn: str, tags: Callable[[], dict[str, str]]) -> bool:
        """Whether this is the fleet's, by its tag or its name; `tags` is called only for a name that may be."""
        if arn in self.tagged or name.startswith(self.own_prefixes):
            return True
        return name.startswith((self.aws.fleet, f"chromafleet-{self.aws.fleet}")) and self.aws.mine(tags())


def instances(search: Search) -> Iterator[Resource]:
    """Terminated ones stay listed for an hour."""
    for reservation in search.aws.pages("ec2", "describe_instances", "Reservations", Filters=search.aws.filters):
        for row in reservation["Instances"]:
            arn = search.arn("ec2", f"instance/{row['InstanceId']}")
            yield Resource("ec2:instance", row["InstanceId"], arn, gone=row["State"]["Name"] == "terminated")


def snapshots(search: Search) -> Iterator[Resource]:
    """All are kept: those that destroy made, and those that somebody else made of a volume."""
    rows = search.aws.pages("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=search.aws.filters)
    for row in rows:
        why = row.get("Description") or f"Snapshot of {row['VolumeId']}"
        arn = search.arn("ec2", f"snapshot/{row['SnapshotId']}")
        yield Resource("ec2:snapshot", row["SnapshotId"], arn, kept=why)


def rest_of_ec2(search: Search) -> Iterator[Resource]:
    """Everything else of EC2."""
    for kind, operation, key, id_key, state_key, gone in EC2:
        filters = {"Filter" if operation in FILTER else "Filters": search.aws.filters}
        for row in search.aws.pages("ec2", operation, key, **filters):
            state = str(row.get(state_key, "")).lower()
            yield Resource(f"ec2:{kind}", row[id_key], search.arn("ec2", f"{kind}/{row[id_key]}"), gone=state in gone)


def auto_scaling(search: Search) -> Iterator[Resource]:
    """Groups; policies, hooks and scheduled actions go with them."""
    rows = search.aws.pages(
        "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", Filters=search.aws.filters
    )
    for row in rows:
        yield Resource("autoscaling:autoScalingGroup", row["AutoScalingGroupName"], row["AutoScalingGroupARN"])


def load_balancing(search: Search) -> Iterator[Resource]:
    """Load balancers and target groups; listeners and rules go with the load balancer."""
    arns = []
    for operation, key, arn_key in (
        ("describe_load_balancers", "LoadBalancers", "LoadBalancerArn"),
        ("describe_target_groups", "TargetGroups", "TargetGroupArn"),
    ):
        arns += [row[arn_key] for row in search.aws.pages("elbv2", operation, key)]
    for start in range(0, len(arns), TAGS_AT_ONCE):
        some = arns[start : start + TAGS_AT_ONCE]
        for row in search.aws.call("elbv2", "describe_tags", ResourceArns=some)["TagDescriptions"]:
            if search.aws.mine(tag_dict(row["Tags"])):
                arn = row["ResourceArn"]
                yield Resource(arn_type(arn), arn.split("/")[-2], arn)


def cache(search: Search) -> Iterator[Resource]:
    """Replication groups with their nodes, subnet groups, parameter groups."""
    for kind, operation, key, name_key in (
        ("replicationgroup", "describe_replication_groups", "ReplicationGroups", "ReplicationGroupId"),
        ("cluster", "describe_cache_clusters", "CacheClusters", "CacheClusterId"),
        ("subnetgroup", "describe_cache_subnet_groups", "CacheSubnetGroups", "CacheSubnetGroupName"),
        ("parametergroup", "describe_cache_parameter_groups", "CacheParameterGroups", "CacheParameterGroupName"),
    ):
        for row in search.aws.pages("elasticache", operation, key):
            name = row[name_key]
            arn = row.get("ARN") or search.arn("elasticache", f"{kind}:{name}")
            if search.owns(name, arn, lambda arn=arn: _cache_tags(search, arn)):
                yield Resource(f"elasticache:{kind}", name, arn)


def _cache_tags(search: Search, arn: str) -> dict[str, str]:
    answer = search.aws.call("elasticache", "list_tags_for_resource", ResourceName=arn)
    return tag_dict(answer["TagList"])


def registry(search: Search) -> Iterator[Resource]:
    """Repositories."""
    for row in search.aws.pages("ecr", "describe_repositories", "repositories"):
        name, arn = row["repositoryName"], row["repositoryArn"]
        if search.owns(name, arn, lambda arn=arn: _ecr_tags(search, arn)):
            yield Resource("ecr:repository", name, arn)


def _ecr_tags(search: Search, arn: str) -> dict[str, str]:
    return tag_dict(search.aws.call("ecr", "list_tags_for_resource", resourceArn=arn)["tags"])


def secrets(search: Search) -> Iterator[Resource]:
    """Secrets; a deleted one can be restored for some days."""
    for row in search.aws.pages("secretsmanager", "list_secrets", "SecretList", IncludePlannedDeletion=True):
        if search.owns(row["Name"], row["ARN"], lambda row=row: tag_dict(row.get("Tags"))):
            deleted = row.get("DeletedDate")
            kept = f"In its recovery window, deletion date {deleted:%Y-%m-%d}" if deleted else ""
            yield Resource("secretsmanager:secret", row["Name"], row["ARN"], kept=kept)


def identity(search: Search) -> Iterator[Resource]:
    """Roles, instance profiles and policies."""
    for kind, operation, key, name_key, scope in (
        ("role", "list_roles", "Roles", "RoleName", {}),
        ("instance-profile", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName", {}),
        ("policy", "list_policies", "Policies", "PolicyName", {"Scope": "Local"}),
    ):
        for row in search.aws.pages("iam", operation, key, **scope):
            name, arn = row[name_key], row["Arn"]
            if search.owns(name, arn, lambda kind=kind, name=name, arn=arn: _iam_tags(search, kind, name, arn)):
                yield Resource(f"iam:{kind}", name, arn)


def _iam_tags(search: Search, kind: str, name: str, arn: str) -> dict[str, str]:
    operation, key, argument = {
        "role": ("get_role", "Role", {"RoleName": name}),
        "instance-profile": ("get_instance_profile", "InstanceProfile", {"InstanceProfileName": name}),
        "policy": ("get_policy", "Policy", {"PolicyArn": arn}),
    }[kind]
    return tag_dict(search.aws.call("iam", operation, **argument)[key].get("Tags"))


def keys(search: Search) -> Iterator[Resource]:
    """Keys, which AWS deletes some days later, and their aliases, which go at once."""
    found = {arn for arn in search.tagged if arn_type(arn) == "kms:key"}
    for row in search.aws.pages("kms", "list_aliases", "Aliases"):
        if search.owns(f"{row['AliasName'].removeprefix('alias/')}/", row["AliasArn"], dict):
            yield Resource("kms:alias", row["AliasName"], row["AliasArn"])
            if row.get("TargetKeyId"):
                found.add(search.arn("kms", f"key/{row['TargetKeyId']}"))
    for arn in sorted(found):
        answer = search.aws.call("kms", "describe_key", missing=("NotFoundException",), KeyId=arn)
        key = (answer or {}).get("KeyMetadata", {})
        deletion = key.get("DeletionDate")
        kept = f"Will be deleted {deletion:%Y-%m-%d}" if key.get("KeyState") == "PendingDeletion" else ""
        yield Resource("kms:key", arn.rsplit("/", 1)[1], arn, gone=answer is None, kept=kept)


def buckets(search: Search) -> Iterator[Resource]:
    """Buckets."""
    for row in search.aws.pages("s3", "list_buckets", "Buckets"):
        name = row["Name"]
        arn = f"arn:{search.partition}:s3:::{name}"
        if search.owns(name, arn, lambda name=name: _bucket_tags(search, name)):
            yield Resource("s3:bucket", name, arn)


def _bucket_tags(search: Search, name: str) -> dict[str, str]:
    answer = search.aws.call("s3", "get_bucket_tagging", missing=("NoSuchTagSet", "NoSuchBucket"), Bucket=name)
    return tag_dict((answer or {}).get("TagSet"))


def parameters(search: Search) -> Iterator[Resource]:
    """Parameters of Systems Manager, which all have a name of the fleet's."""
    path = f"/chromafleet/{search.aws.fleet}/"
    for row in search.aws.pages("ssm", "get_parameters_by_path", "Parameters", Path=path, Recursive=True):
        yield Resource("ssm:parameter", row["Name"], search.arn("ssm", f"parameter{row['Name']}"))


def logs(search: Search) -> Iterator[Resource]:
    """Log groups."""
    for row in search.aws.pages("logs", "describe_log_groups", "logGroups"):
        name, arn = row["logGroupName"], row["arn"].removesuffix(":*")
        if search.owns(name, arn, dict):
            yield Resource("logs:log-group", name, arn)


def monitoring(search: Search) -> Iterator[Resource]:
    """Alarms and dashboards."""
    rows = [
        ("alarm", row["AlarmName"], row["AlarmArn"])
        for row in search.aws.pages("cloudwatch", "describe_alarms", "MetricAlarms")
    ] + [
        ("dashboard", row["DashboardName"], row["DashboardArn"])
        for row in search.aws.pages("cloudwatch", "list_dashboards", "DashboardEntries")
    ]
    for kind, name, arn in rows:
        if search.owns(name, arn, lambda arn=arn: _cloudwatch_tags(search, arn)):
            yield Resource(f"cloudwatch:{kind}", name, arn)


def _cloudwatch_tags(search: Search, arn: str) -> dict[str, str]:
    answer = search.aws.call(
        "cloudwatch",
        "list_tags_for_resource",
        missing=("ResourceNotFound", "ResourceNotFoundException"),
        ResourceARN=arn,
    )
    return tag_dict((answer or {}).get("Tags"))


def topics(search: Search) -> Iterator[Resource]:
    """Topics; subscriptions go with them."""
    for row in search.aws.pages("sns", "list_topics", "Topics"):
        arn = row["TopicArn"]
        name = arn.rsplit(":", 1)[1]
        if search.owns(name, arn, lambda arn=arn: _topic_tags(search, arn)):
            yield Resource("sns:topic", name, arn)


def _topic_tags(search: Search, arn: str) -> dict[str, str]:
    answer = search.aws.call("sns", "list_tags_for_resource", missing=("ResourceNotFound",), ResourceArn=arn)
    return tag_dict((answer or {}).get("Tags"))


def web_acls(search: Search) -> Iterator[Resource]:
    """Web ACLs of the region."""
    marker: dict[str, str] = {}
    while True:  # botocore has no pages for this one
        answer = search.aws.call("wafv2", "list_web_acls", Scope="REGIONAL", **marker)
        for row in answer["WebACLs"]:
            if search.owns(row["Name"], row["ARN"], lambda row=row: _waf_tags(search, row["ARN"])):
                yield Resource("wafv2:webacl", row["Name"], row["ARN"])
        if not answer["WebACLs"] or not answer.get("NextMarker"):
            return
        marker = {"NextMarker": answer["NextMarker"]}


def _waf_tags(search: Search, arn: str) -> dict[str, str]:
    answer = search.aws.call("wafv2", "list_tags_for_resource", ResourceARN=arn)
    return tag_dict(answer["TagInfoForResource"]["TagList"])


def certificates(search: Search) -> Iterator[Resource]:
    """Certificates for the endpoints, and tagged ones for whatever name."""
    rows = search.aws.pages("acm", "list_certificates", "CertificateSummaryList", Includes={"keyTypes": KEY_TYPES})
    for row in rows:
        arn, name = row["CertificateArn"], row.get("DomainName", "")
        if arn in search.tagged or (name in search.endpoints and search.aws.mine(_acm_tags(search, arn))):
            yield Resource("acm:certificate", name, arn)


def _acm_tags(search: Search, arn: str) -> dict[str, str]:
    answer = search.aws.call(
        "acm", "list_tags_for_certificate", missing=("ResourceNotFoundException",), CertificateArn=arn
    )
    return tag_dict((answer or {}).get("Tags"))


def records(search: Search) -> Iterator[Resource]:
    """DNS records of the endpoints, in the hosted zones of this account."""
    for zone in search.aws.pages("route53", "list_hosted_zones", "HostedZones"):
        arn = f"arn:{search.partition}:route53:::{zone['Id'].strip('/')}"
        for name in search.endpoints:
            if f".{name}.".endswith(f".{zone['Name']}"):
                for row in _records_of(search, zone["Id"], f"{name}."):
                    yield Resource("route53:record", f"{row['Type']} {row['Name'].rstrip('.')}", arn)


def _records_of(search: Search, zone: str, name: str) -> Iterator[dict[str, Any]]:
    """The addresses of a name, and the record by which a certificate for it was validated, which stands right after."""
    answer = search.aws.call("route53", "list_resource_record_sets", HostedZoneId=zone, StartRecordName=name)
    for row in answer["ResourceRecordSets"]:
        values = [record["Value"] for record in row.get("ResourceRecords", [])]
        validates = any("acm-validations" in value for value in values) and row["Name"].endswith(f".{name}")
        if validates or (row["Name"] == name and row["Type"] in ("A", "AAAA", "CNAME")):
            yield row


# The types of ARN that a listing below is complete for, or that can't outlive one that is listed.
LISTINGS: dict[Callable[[Search], Iterator[Resource]], tuple[str, ...]] = {
    auto_scaling: ("autoscaling:autoScalingGroup",),
    buckets: ("s3:bucket",),
    cache: (
        "elasticache:replicationgroup",
        "elasticache:cluster",
        "elasticache:subnetgroup",
        "elasticache:parametergroup",
    ),
    certificates: ("acm:certificate",),
    identity: ("iam:role", "iam:instance-profile", "iam:policy"),
    instances: ("ec2:instance",),
    keys: ("kms:key",),
    load_balancing: (
        "elasticloadbalancing:loadbalancer",
        "elasticloadbalancing:targetgroup",
        "elasticloadbalancing:listener",
        "elasticloadbalancing:listener-rule",
    ),
    logs: ("logs:log-group",),
    monitoring: ("cloudwatch:alarm", "cloudwatch:dashboard"),
    records: (),
    registry: ("ecr:repository",),
    parameters: ("ssm:parameter",),
    rest_of_ec2: (*(f"ec2:{kind}" for kind, *_ in EC2), "ec2:security-group-rule"),
    secrets: ("secretsmanager:secret",),
    snapshots: ("ec2:snapshot",),
    topics: ("sns:topic",),
    web_acls: ("wafv2:webacl",),
}
LISTED = {kind for kinds in LISTINGS.values() for kind in kinds}


def leftovers(aws: Reader, endpoints: list[str], keep: dict[str, str]) -> list[Resource]:
    """Everything that is listed, whether it counts or not, by kind and name; `keep` says why a kind is kept."""
    search = Search(aws, endpoints)
    with ThreadPoolExecutor(max_workers=len(LISTINGS)) as pool:
        listed = [resource for part in pool.map(lambda listing: list(listing(search)), LISTINGS) for resource in part]
    unlisted = [arn for arn in search.tagged if arn_type(arn) not in LISTED]
    found = [*listed, *(Resource(arn_type(arn), arn.split(":", 5)[5], arn) for arn in unlisted)]
    return sorted(
        (replace(one, kept=one.kept or keep.get(one.kind, "")) for one in found),
        key=lambda resource: (resource.kind, resource.name),
    )
