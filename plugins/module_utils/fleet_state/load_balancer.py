# SPDX-License-Identifier: Apache-2.0
"""The fleet's load balancer, with its target groups, certificates, DNS records and web ACL.

A DNS record can carry no tag. So load balancer and target groups are tagged with the endpoints, and they and a
requested certificate with the hosted zones that hold their records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import tag_dict
from ansible_collections.chromafleet.aws.plugins.module_utils.certificates import fingerprints
from ansible_collections.chromafleet.aws.plugins.module_utils.target_groups import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader

Found = dict[str, dict[str, Any]]

ENDPOINT_TAGS = ("chromafleet:endpoint", "chromafleet:reader-endpoint")
ZONES_TAG = "chromafleet:hosted-zones"

# DescribeTags takes so many at a time.
TAGS_AT_ONCE = 20

# What the modules elb_application_lb and elb_target_group call the attributes.
BALANCER_ATTRIBUTES = {
    "access_logs.s3.bucket": "access_logs_s3_bucket",
    "access_logs.s3.enabled": "access_logs_enabled",
    "access_logs.s3.prefix": "access_logs_s3_prefix",
    "deletion_protection.enabled": "deletion_protection",
    "idle_timeout.timeout_seconds": "idle_timeout",
    "routing.http.desync_mitigation_mode": "http_desync_mitigation_mode",
    "routing.http.drop_invalid_header_fields.enabled": "http_drop_invalid_header_fields",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "http_x_amzn_tls_version_and_cipher_suite",
    "routing.http.xff_client_port.enabled": "http_xff_client_port",
    "routing.http2.enabled": "http2",
    "waf.fail_open.enabled": "waf_fail_open",
}
TARGET_GROUP_ATTRIBUTES = {
    "deregistration_delay.timeout_seconds": "deregistration_delay_timeout",
    "load_balancing.algorithm.type": "load_balancing_algorithm_type",
}
TARGET_GROUP_PROPERTIES = {
    "HealthCheckIntervalSeconds": "health_check_interval",
    "HealthCheckPath": "health_check_path",
    "HealthCheckPort": "health_check_port",
    "HealthCheckProtocol": "health_check_protocol",
    "HealthCheckTimeoutSeconds": "health_check_timeout",
    "HealthyThresholdCount": "healthy_threshold_count",
    "Port": "port",
    "Protocol": "protocol",
    "TargetGroupArn": "arn",
    "TargetType": "target_type",
    "UnhealthyThresholdCount": "unhealthy_threshold_count",
    "VpcId": "vpc_id",
}
ACTION_PARTS = ("Type", "RedirectConfig", "FixedResponseConfig", "TargetGroupArn")

# A requested certificate in another state will never be of use.
USABLE = ("ISSUED", "PENDING_VALIDATION")


def read(aws: Reader) -> dict[str, Found]:
    """Each kind by name; `hosted_zones` are all of the account's public ones, by id."""
    balancers, target_groups = _balancers(aws), _target_groups(aws)
    listeners, rules = _listeners(aws, balancers)
    certificates = _certificates(aws)
    web_acls, web_acl_rules, associations = _web_acls(aws)
    return {
        "load_balancers": balancers,
        "listeners": listeners,
        "rules": rules,
        "target_groups": target_groups,
        "certificates": certificates,
        "validation_records": _validation_records(aws, certificates),
        "records": _records(aws, [*balancers.values(), *target_groups.values()]),
        "hosted_zones": _hosted_zones(aws),
        "web_acls": web_acls,
        "web_acl_rules": web_acl_rules,
        "web_acl_associations": associations,
    }


# --- Load balancer ----------------------------------------------------------------------------------------------


def _ours(aws: Reader, operation: str, key: str, arn: str, prefix: str) -> list[dict[str, Any]]:
    """The fleet's among all, each with its tags; asked for by ARN, one that is just gone would fail the call."""
    tagged = set(aws.tagged("elasticloadbalancing"))
    if not any(prefix in one for one in tagged):
        return []
    mine = [row for row in aws.pages("elbv2", operation, key) if row[arn] in tagged]
    for start in range(0, len(mine), TAGS_AT_ONCE):
        some = {row[arn]: row for row in mine[start : start + TAGS_AT_ONCE]}
        for tags in aws.call("elbv2", "describe_tags", ResourceArns=list(some))["TagDescriptions"]:
            some[tags["ResourceArn"]]["tags"] = tag_dict(tags["Tags"])
    return mine


def _attributes(aws: Reader, operation: str, names: dict[str, str], **which: str) -> dict[str, str]:
    found = aws.call("elbv2", operation, **which)["Attributes"]
    return {names[row["Key"]]: row["Value"] for row in found if row["Key"] in names}


def _balancers(aws: Reader) -> Found:
    rows = _ours(aws, "describe_load_balancers", "LoadBalancers", "LoadBalancerArn", ":loadbalancer/")
    return {
        row["LoadBalancerName"]: {
            "arn": row["LoadBalancerArn"],
            "dns_name": row["DNSName"],
            "hosted_zone_id": row["CanonicalHostedZoneId"],
            "scheme": row["Scheme"],
            "ip_address_type": row["IpAddressType"],
            "subnets": [zone["SubnetId"] for zone in row["AvailabilityZones"]],
            "security_groups": row.get("SecurityGroups", []),
            "tags": row["tags"],
            **_attributes(
                aws,
                "describe_load_balancer_attributes",
                BALANCER_ATTRIBUTES,
                LoadBalancerArn=row["LoadBalancerArn"],
            ),
        }
        for row in rows
    }


def _target_groups(aws: Reader) -> Found:
    rows = _ours(aws, "describe_target_groups", "TargetGroups", "TargetGroupArn", ":targetgroup/")
    return {
        row["TargetGroupName"]: {
            **{ours: row.get(theirs) for theirs, ours in TARGET_GROUP_PROPERTIES.items()},
            "successful_response_codes": row.get("Matcher", {}).get("HttpCode"),
            "tags": row["tags"],
            **_attributes(
                aws,
                "describe_target_group_attributes",
                TARGET_GROUP_ATTRIBUTES,
                TargetGroupArn=row["TargetGroupArn"],
            ),
        }
        for row in rows
    }


def _listeners(aws: Reader, balancers: Found) -> tuple[Found, Found]:
    """Listeners as `<load balancer>:<port>`, rules as `<load balancer>:<port>/<priority>`."""
    listeners: Found = {}
    rules: Found = {}
    for balancer, properties in balancers.items():
        for row in aws.pages("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=properties["arn"]):
            name = f"{balancer}:{row['Port']}"
            listeners[name] = {
                "arn": row["ListenerArn"],
                "protocol": row["Protocol"],
                "ssl_policy": row.get("SslPolicy", ""),
                "certificate_arn": (row.get("Certificates") or [{}])[0].get("CertificateArn", ""),
                "default_actions": [
                    {key: action[key] for key in ACTION_PARTS if key in action} for action in row["DefaultActions"]
                ],
            }
            for rule in aws.pages("elbv2", "describe_rules", "Rules", ListenerArn=row["ListenerArn"]):
                if not rule["IsDefault"]:
                    rules[f"{name}/{rule['Priority']}"] = _rule(rule)
    return listeners, rules


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    def values(condition: dict[str, Any]) -> list[Any]:
        configured = [part["Values"] for part in condition.values() if isinstance(part, dict) and part.get("Values")]
        return configured[0] if configured else condition.get("Values", [])

    return {
        "priority": rule["Priority"],
        "conditions": {condition["Field"]: values(condition) for condition in rule["Conditions"]},
        "target_groups": list(_targets(rule["Actions"])),
    }


def _targets(actions: list[dict[str, Any]]) -> Iterator[str]:
    """Names of the target groups that actions forward to; another action by its type."""
    for action in actions:
        groups = action.get("ForwardConfig", {}).get("TargetGroups") or [action]
        yield from (name_of(group["TargetGroupArn"]) for group in groups if "TargetGroupArn" in group)
        if action["Type"] != "forward":
            yield f"({action['Type']})"


# --- Certificates -----------------------------------------------------------------------------------------------


def _certificates(aws: Reader) -> Found:
    """A requested one by its domain names, an imported one by its tag Name; a useless one by its id as well."""
    rows = [row for arn in aws.tagged("acm") if (row := _certificate(aws, arn))]
    found: Found = {}
    for row in sorted(rows, key=lambda row: (row["status"] != "ISSUED", row["arn"])):
        imported = row["type"] == "IMPORTED"
        name = row["tags"].get("Name", row["arn"]) if imported else ", ".join(row["domain_names"])
        if name in found or not (imported or row["status"] in USABLE):
            name = f"{name} ({row['status']}, {row['arn'].rsplit('/', 1)[1]})"
        found[name] = row
    return found


def _certificate(aws: Reader, arn: str) -> dict[str, Any] | None:
    gone = {"missing": ("ResourceNotFoundException",)}
    answer = aws.call("acm", "describe_certificate", **gone, CertificateArn=arn)
    if answer is None:
        return None
    certificate = answer["Certificate"]
    properties = {
        "arn": arn,
        "type": certificate["Type"],
        "status": certificate["Status"],
        "domain_names": sorted(certificate.get("SubjectAlternativeNames", [])),
        "tags": tag_dict((aws.call("acm", "list_tags_for_certificate", **gone, CertificateArn=arn) or {}).get("Tags")),
        "validation_records": [
            {
                "name": option["DomainName"],
                "record": option["ResourceRecord"]["Name"],
                "value": option["ResourceRecord"]["Value"],
            }
            for option in certificate.get("DomainValidationOptions", [])
            if "ResourceRecord" in option
        ],
    }
    if certificate["Type"] == "IMPORTED":
        pem = aws.call("acm", "get_certificate", **gone, CertificateArn=arn) or {}
        properties["fingerprints"] = fingerprints(pem.get("Certificate", ""), pem.get("CertificateChain", ""))
    return properties


# --- DNS --------------------------------------------------------------------------------------------------------


def _hosted_zones(aws: Reader) -> Found:
    return {
        zone["Id"].rsplit("/", 1)[1]: {"domain": zone["Name"].rstrip(".")}
        for zone in aws.pages("route53", "list_hosted_zones", "HostedZones")
        if not zone["Config"].get("PrivateZone")
    }


def _record(aws: Reader, zones: str, name: str, kind: str) -> tuple[str, dict[str, Any]] | None:
    """The record of this name and kind in the first of the zones that has one, with the zone's id."""
    for zone in zones.split():
        answer = aws.call(
            "route53",
            "list_resource_record_sets",
            missing=("NoSuchHostedZone",),
            HostedZoneId=zone,
            StartRecordName=name,
            StartRecordType=kind,
            MaxItems="1",
        )
        for row in (answer or {}).get("ResourceRecordSets", []):
            if row["Type"] == kind and row["Name"].rstrip(".").lower() == name.rstrip(".").lower():
                return zone, row
    return None


def _values(row: dict[str, Any]) -> str:
    return ",".join(value["Value"] for value in row.get("ResourceRecords", []))


def _validation_records(aws: Reader, certificates: Found) -> Found:
    """By domain; AWS gives the same record to every certificate for it."""
    found: Found = {}
    for certificate in certificates.values():
        for wanted in certificate["validation_records"]:
            there = _record(aws, certificate["tags"].get(ZONES_TAG, ""), wanted["record"], "CNAME")
            if there:
                zone, row = there
                found[wanted["name"]] = {"zone": zone, "record": wanted["record"], "value": _values(row)}
    return found


def _records(aws: Reader, tagged: list[dict[str, Any]]) -> Found:
    """By the endpoint's host name; `tagged` is what carries the endpoints' tags."""
    places = {
        (tags[tag], tags[ZONES_TAG]): None
        for tags in (one["tags"] for one in tagged)
        for tag in ENDPOINT_TAGS
        if tag in tags and ZONES_TAG in tags
    }
    found: Found = {}
    for endpoint, zones in places:
        there = _record(aws, zones, endpoint, "A")
        if there:
            zone, row = there
            alias = row.get("AliasTarget", {})
            found[endpoint] = {
                "zone": zone,
                "target": alias.get("DNSName", _values(row)).rstrip(".").lower(),
                "target_zone": alias.get("HostedZoneId", ""),
                "evaluate_target_health": alias.get("EvaluateTargetHealth", False),
            }
    return found


# --- Web ACL ----------------------------------------------------------------------------------------------------


def _web_acls(aws: Reader) -> tuple[Found, Found, Found]:
    """ACLs by name, rules as `<ACL>/<rule>`, associations by the load balancer's name."""
    acls: Found = {}
    rules: Found = {}
    associations: Found = {}
    for arn in (one for one in aws.tagged("wafv2") if "/webacl/" in one):
        answer = aws.call("wafv2", "get_web_acl", missing=("WAFNonexistentItemException",), ARN=arn)
        if answer is None:
            continue
        acl = answer["WebACL"]
        tags = aws.call("wafv2", "list_tags_for_resource", ResourceARN=arn)["TagInfoForResource"]["TagList"]
        acls[acl["Name"]] = {
            "arn": arn,
            "description": acl.get("Description", ""),
            "default_action": next(iter(acl["DefaultAction"])),
            "tags": tag_dict(tags),
        }
        for rule in acl["Rules"]:
            rules[f"{acl['Name']}/{rule['Name']}"] = camel_dict_to_snake_dict(rule)
        resources = aws.call(
            "wafv2", "list_resources_for_web_acl", WebACLArn=arn, ResourceType="APPLICATION_LOAD_BALANCER"
        )
        for resource in resources["ResourceArns"]:
            associations[resource.split("/")[-2]] = {"web_acl": acl["Name"], "arn": resource}
    return acls, rules, associations
