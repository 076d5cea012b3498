"""EC2 Auto Scaling: the scheduled actions of groups, each in its minute."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from localcloud.aws import client, every

log = logging.getLogger("schedule")

SIZES = ("MinSize", "MaxSize", "DesiredCapacity")
#: The minute in which an action was done: (group, action) -> its time.
_done: dict[tuple[str, str], datetime] = {}


def holds(field: str, value: int) -> bool:
    """Whether a field of a cron expression holds a value: `*`, numbers, ranges, steps."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        low, high = (0, 59) if span == "*" else (int(first), int(last or first))
        if low <= value <= high and (value - low) % int(step or 1) == 0:
            return True
    return False


def due(recurrence: str, now: datetime) -> bool:
    """Whether a cron expression means this minute."""
    fields = recurrence.split()
    values = (now.minute, now.hour, now.day, now.month, now.isoweekday() % 7)
    return len(fields) == len(values) and all(map(holds, fields, values))


def follow() -> None:
    """One round."""
    for action in every("autoscaling", "describe_scheduled_actions", "ScheduledUpdateGroupActions"):
        if _is_due(action):
            group = action["AutoScalingGroupName"]
            log.info("%s: %s", group, action["ScheduledActionName"])
            sizes = {size: action[size] for size in SIZES if size in action}
            client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=group, **sizes)


def _is_due(action: dict[str, Any]) -> bool:
    now = datetime.now(ZoneInfo(action.get("TimeZone") or "UTC")).replace(second=0, microsecond=0)
    key = (action["AutoScalingGroupName"], action["ScheduledActionName"])
    if not due(action.get("Recurrence", ""), now) or _done.get(key) == now.astimezone(UTC):
        return False
    _done[key] = now.astimezone(UTC)
    return True
