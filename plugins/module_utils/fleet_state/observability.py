# SPDX-License-Identifier: Apache-2.0
"""The fleet's log groups, topics, alarms and dashboards; what is a cell's own names its `cell`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import tag_dict
from ansible_collections.chromafleet.aws.plugins.module_utils.cloudwatch import alarm_of, dashboard_of

if TYPE_CHECKING:
    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader

CELL_TAG = "chromafleet:cell"
# What SNS tells in place of an ARN.
PENDING, DELETED = "PendingConfirmation", "Deleted"


def read(aws: Reader) -> dict[str, dict[str, Any]]:
    """`log_groups`, `topics`, `alarms` and `dashboards`: by name."""
    return {
        "alarms": _alarms(aws),
        "dashboards": _dashboards(aws),
        "log_groups": _log_groups(aws),
        "topics": _topics(aws),
    }


def _owner(tags: dict[str, str]) -> dict[str, Any]:
    return {"cell": tags.get(CELL_TAG, ""), "tags": tags}


def _alarms(aws: Reader) -> dict[str, Any]:
    mine = {arn: aws.tags_of(arn) for arn in aws.tagged("cloudwatch") if ":alarm:" in arn}
    if not mine:
        return {}
    described = aws.pages("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{aws.fleet}-")
    return {
        alarm["AlarmName"]: {**alarm_of(alarm), "arn": alarm["AlarmArn"], **_owner(mine[alarm["AlarmArn"]])}
        for alarm in described
        if alarm["AlarmArn"] in mine
    }


def _dashboards(aws: Reader) -> dict[str, Any]:
    # The tagging API doesn't promise dashboards.
    entries = aws.pages("cloudwatch", "list_dashboards", "DashboardEntries", DashboardNamePrefix=f"{aws.fleet}-")
    found = {}
    for entry in entries:
        name, arn = entry["DashboardName"], entry["DashboardArn"]
        answer = aws.call(
            "cloudwatch", "list_tags_for_resource", missing=("ResourceNotFoundException",), ResourceARN=arn
        )
        tags = tag_dict((answer or {}).get("Tags"))
        if aws.mine(tags):
            body = json.loads(aws.call("cloudwatch", "get_dashboard", DashboardName=name)["DashboardBody"])
            found[name] = {**dashboard_of(body), "arn": arn, **_owner(tags)}
    return found


def _log_groups(aws: Reader) -> dict[str, Any]:
    """Those of the cells: what has no cell, such as the flow logs, is another layer's."""
    tagged = {arn.split(":log-group:", 1)[1].removesuffix(":*"): aws.tags_of(arn) for arn in aws.tagged("logs")}
    mine = {name: tags for name, tags in tagged.items() if CELL_TAG in tags}
    described = [
        group
        for prefix in sorted({name.rpartition("/")[0] or name for name in mine})
        for group in aws.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix)
    ]
    return {
        group["logGroupName"]: {
            "retention": group.get("retentionInDays", 0),
            "kms_key_arn": group.get("kmsKeyId", ""),
            "arn": group["arn"].removesuffix(":*"),
            **_owner(mine[group["logGroupName"]]),
        }
        for group in described
        if group["logGroupName"] in mine
    }


def _topics(aws: Reader) -> dict[str, Any]:
    topics = {arn: _topic(aws, arn) for arn in aws.tagged("sns")}
    return {arn.rsplit(":", 1)[1]: topic for arn, topic in topics.items() if topic}


def _topic(aws: Reader, arn: str) -> dict[str, Any] | None:
    answer = aws.call("sns", "get_topic_attributes", missing=("NotFound", "NotFoundException"), TopicArn=arn)
    if answer is None:
        return None
    subscriptions = [
        row
        for row in aws.pages("sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=arn)
        if row["SubscriptionArn"] != DELETED
    ]
    return {
        "policy": json.loads(answer["Attributes"].get("Policy", "{}")),
        "kms_key_arn": answer["Attributes"].get("KmsMasterKeyId", ""),
        "subscriptions": [_subscription(row) for row in subscriptions],
        "pending": [_subscription(row) for row in subscriptions if row["SubscriptionArn"] == PENDING],
        "arn": arn,
        **_owner(aws.tags_of(arn)),
    }


def _subscription(row: dict[str, str]) -> dict[str, str]:
    return {"protocol": row["Protocol"], "endpoint": row["Endpoint"]}
