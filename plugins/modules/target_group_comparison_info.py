#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Tell whether a target group serves worse than another one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: target_group_comparison_info
version_added: 0.1.0
short_description: Tell whether a target group serves worse than another one
description:
  - Reads in CloudWatch how two target groups of a load balancer have answered since a point in time, and says whether
    the first of them, the candidate, is worse, or has an unhealthy target. CloudWatch hears of requests once a minute,
    some minutes late.
  - To be called again and again with M(chromafleet.aws.wait_for_status), until the time is over or it is worse.
author:
  - Chroma Fleet developers
options:
  load_balancer_arn:
    description: ARN of the load balancer.
    type: str
    required: true
  candidate:
    description: ARN of the target group that is looked at.
    type: str
    required: true
  serving:
    description: ARN of the target group that it is compared with.
    type: str
    required: true
  since:
    description: From when on, in seconds since 1970.
    type: float
    required: true
  seconds:
    description: For how long it shall be looked at.
    type: int
    required: true
  usual:
    description:
      - How the other target group served before, as RV(serving) of an earlier call, for the time in which it gets no
        request any more.
    type: dict
    default: {}
  errors:
    description: How many more of the requests may get an error of the server (5xx), as a share from 0 to 1.
    type: float
    default: 0.001
  slower:
    description: How many times as long 99 % of the answers may take.
    type: float
    default: 3.0
  slack:
    description:
      - How much longer 99 % of the answers may take at least (seconds).
      - It is judged from 200 requests on.
    type: float
    default: 0.1
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: Compare the readers of the new release with the others
  chromafleet.aws.target_group_comparison_info:
    load_balancer_arn: "{{ load_balancer }}"
    candidate: "{{ green }}"
    serving: "{{ blue }}"
    since: "{{ began }}"
    seconds: 300
"""

RETURN = r"""
verdict:
  description: V(worse), V(good) when the time is over, V(watching) before.
  returned: always
  type: str
reason:
  description: What is worse, as a sentence; empty if nothing is.
  returned: always
  type: str
percent:
  description: How much of the time is over.
  returned: always
  type: int
candidate:
  description: Requests, errors of the server, and what 99 % of the answers took at most, in the worst minute (seconds).
  returned: always
  type: dict
  sample: {"requests": 1234.0, "errors": 0.0, "p99": 0.043}
serving:
  description: The same of the other target group; where it got no request, O(usual).
  returned: always
  type: dict
"""

import time
from datetime import UTC, datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.target_groups import dimension, name_of, worse

NAMESPACE = "AWS/ApplicationELB"
PERIOD = 60
#: What is asked -> the metric and its statistic.
FIGURES = {
    "requests": ("RequestCount", "Sum"),
    "errors": ("HTTPCode_Target_5XX_Count", "Sum"),
    "p99": ("TargetResponseTime", "p99"),
}


def queries(load_balancer: str, target_groups: dict[str, str]) -> list[dict[str, Any]]:
    """What CloudWatch is asked; `target_groups` is `{role: ARN}`, and a query's id `role_figure`."""
    own = [{"Name": "LoadBalancer", "Value": dimension(load_balancer)}]

    def query(ident: str, metric: str, statistic: str, dimensions: list[dict[str, str]]) -> dict[str, Any]:
        which = {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions}
        return {"Id": ident, "MetricStat": {"Metric": which, "Period": PERIOD, "Stat": statistic}}

    asked = []
    for role, arn in target_groups.items():
        whose = [{"Name": "TargetGroup", "Value": dimension(arn)}, *own]
        asked += [query(f"{role}_{figure}", *which, whose) for figure, which in FIGURES.items()]
    return asked


def figures(answers: list[dict[str, Any]], role: str) -> dict[str, float]:
    """What was found of a target group."""
    values = {answer["Id"]: answer["Values"] for answer in answers}
    return {
        "requests": float(sum(values.get(f"{role}_requests", []))),
        "errors": float(sum(values.get(f"{role}_errors", []))),
        "p99": float(max(values.get(f"{role}_p99", []), default=0)),
    }


def unhealthy(client: Any, target_group: str) -> str:
    """What is wrong with its targets, as the rest of a sentence."""
    found = client.describe_target_health(aws_retry=True, TargetGroupArn=target_group)["TargetHealthDescriptions"]
    ill = [row["Target"]["Id"] for row in found if row["TargetHealth"]["State"] == "unhealthy"]
    return f"{', '.join(ill)} fails the health check" if ill else ""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "load_balancer_arn": {"type": "str", "required": True},
            "candidate": {"type": "str", "required": True},
            "serving": {"type": "str", "required": True},
            "since": {"type": "float", "required": True},
            "seconds": {"type": "int", "required": True},
            "usual": {"type": "dict", "default": {}},
            "errors": {"type": "float", "default": 0.001},
            "slower": {"type": "float", "default": 3.0},
            "slack": {"type": "float", "default": 0.1},
        },
        supports_check_mode=True,
    )
    asked, now = module.params, time.time()
    retry = AWSRetry.jittered_backoff(retries=10)
    client, balancing = (
        module.client("cloudwatch", retry_decorator=retry),
        module.client("elbv2", retry_decorator=retry),
    )
    groups = {role: asked[role] for role in ("candidate", "serving")}
    with aws_errors(module, f"Failed to read how {' and '.join(map(name_of, groups.values()))} have answered"):
        answers = client.get_metric_data(
            aws_retry=True,
            MetricDataQueries=queries(asked["load_balancer_arn"], groups),
            # Whole minutes, as CloudWatch has them.
            StartTime=datetime.fromtimestamp(asked["since"] // PERIOD * PERIOD, UTC),
            EndTime=datetime.fromtimestamp(now, UTC),
        )["MetricDataResults"]
        ill = unhealthy(balancing, asked["candidate"])
    candidate, serving = figures(answers, "candidate"), figures(answers, "serving")
    if not serving["requests"]:
        serving |= {figure: float(value) for figure, value in asked["usual"].items()}
    said = ill or worse(candidate, serving, asked["errors"], asked["slower"], asked["slack"])
    over = now - asked["since"]
    module.exit_json(
        changed=False,
        verdict="worse" if said else "good" if over >= asked["seconds"] else "watching",
        reason=f"of {name_of(asked['candidate'])}, {said}." if said else "",
        percent=min(100, int(100 * over / asked["seconds"])) if asked["seconds"] else 100,
        candidate=candidate,
        serving=serving,
    )


if __name__ == "__main__":
    main()
