# SPDX-License-Identifier: Apache-2.0
"""What a load balancer sends to target groups, and how it goes there."""

from __future__ import annotations

from typing import Any

FORWARD = "forward"


def name_of(arn: str) -> str:
    """A target group's name."""
    return arn.split("/")[1]


def dimension(arn: str) -> str:
    """A target group or a load balancer as CloudWatch names it: the end of its ARN, with a target group's kind."""
    end = arn.rsplit(":", 1)[1]
    return end.removeprefix("loadbalancer/")


def weights_of(rule: dict[str, Any]) -> dict[str, int]:
    """Where a rule forwards to, by ARN, and its weight there; empty where it does anything else."""
    actions = rule["Actions"]
    if len(actions) != 1 or actions[0]["Type"] != FORWARD:
        return {}
    groups = actions[0].get("ForwardConfig", {}).get("TargetGroups")
    if not groups:
        return {actions[0]["TargetGroupArn"]: 1}
    return {group["TargetGroupArn"]: int(group.get("Weight", 1)) for group in groups}


def forward(weights: dict[str, int]) -> list[dict[str, Any]]:
    """The actions of a rule that forwards by weight; to one target group as other modules write it."""
    if len(weights) == 1:
        return [{"Type": FORWARD, "TargetGroupArn": next(iter(weights))}]
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
    return [{"Type": FORWARD, "ForwardConfig": {"TargetGroups": groups}}]


def same(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether requests go the same way; of a single target group the weight says nothing."""
    return one == other or (len(one) == 1 and one.keys() == other.keys())


#: Of fewer requests the slowest hundredth is one or none, and says nothing.
ENOUGH = 200


def share(errors: float, requests: float) -> float:
    """Errors of requests; none of none."""
    return errors / requests if requests else 0.0


def worse(candidate: dict[str, Any], serving: dict[str, Any], allowed: float, slower: float, slack: float) -> str:
    """What is worse about one target group than about another, as the rest of a sentence; empty if nothing is.

    Each has `requests`, `errors` and `p99` (seconds; 0 where it was asked nothing). `allowed` is a share of the
    requests. An answer may take `slower` times as long, or `slack` seconds longer, whichever is more; that is judged of
    enough requests only.
    """
    found, usual = share(candidate["errors"], candidate["requests"]), share(serving["errors"], serving["requests"])
    if candidate["errors"] and found > usual + allowed:
        return f"{candidate['errors']:.0f} of {candidate['requests']:.0f} requests got an error of the server"
    limit = max(serving["p99"] * slower, serving["p99"] + slack)
    if candidate["requests"] >= ENOUGH and serving["p99"] and candidate["p99"] > limit:
        return f"99 % of its answers took {candidate['p99']:.3f} s, those of the others {serving['p99']:.3f} s"
    return ""
