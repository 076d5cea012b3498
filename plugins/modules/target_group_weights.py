#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Share a load balancer's requests between target groups."""

from __future__ import annotations

DOCUMENTATION = r"""
module: target_group_weights
version_added: 0.1.0
short_description: Share a load balancer's requests between target groups
description:
  - Changes the rules of a load balancer that forward to one of some target groups so that they forward to these, by
    weight. Conditions and priorities stay, and so does every other rule.
  - A target group with the weight 0 gets no request, but is checked for its health.
  - Target groups are left alone where a rule does more than to forward.
author:
  - Chroma Fleet developers
options:
  load_balancer_arn:
    description: ARN of the load balancer.
    type: str
    required: true
  weights:
    description:
      - "C({ARN of a target group: its weight}), a weight from 0 to 999. One of them must not be 0."
      - A target group that is not among them, but in the same rule, leaves it.
    type: dict
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Send a tenth of the requests to the second target group
  chromafleet.aws.target_group_weights:
    load_balancer_arn: "{{ load_balancer }}"
    weights: "{{ {blue: 90, green: 10} }}"
"""

RETURN = r"""
rules:
  description: The priorities of the rules that forward to these target groups.
  returned: always
  type: list
  elements: str
  sample: ["45002"]
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.target_groups import forward, name_of, same, weights_of

MOST = 999


def weights_in(module: AnsibleAWSModule) -> dict[str, int]:
    """The option as numbers; the module fails over others."""
    given = module.params["weights"]
    for arn, weight in given.items():
        if not str(weight).isdigit() or int(weight) > MOST:
            module.fail_json(
                msg=f'weights gives {arn} the weight "{weight}", but AWS takes whole numbers from 0 to {MOST}.'
            )
    weights = {arn: int(weight) for arn, weight in given.items()}
    if not any(weights.values()):
        module.fail_json(msg="weights gives every target group 0, so that no request would be answered: give one more.")
    return weights


def rules_of(client: Any, load_balancer_arn: str) -> list[dict[str, Any]]:
    """The rules of a load balancer's listeners, without the default ones."""
    listeners = client.get_paginator("describe_listeners").paginate(LoadBalancerArn=load_balancer_arn)
    found = []
    for listener in (row for page in listeners for row in page["Listeners"]):
        for page in client.get_paginator("describe_rules").paginate(ListenerArn=listener["ListenerArn"]):
            found += [rule for rule in page["Rules"] if not rule["IsDefault"]]
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "load_balancer_arn": {"type": "str", "required": True},
            "weights": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    weights = weights_in(module)
    client = module.client("elbv2", retry_decorator=AWSRetry.jittered_backoff(retries=10))
    with aws_errors(module, f"Failed to share the requests of {module.params['load_balancer_arn']}"):
        rules = rules_of(client, module.params["load_balancer_arn"])
        mine = [rule for rule in rules if weights.keys() & weights_of(rule)]
        other = [rule for rule in mine if not same(weights_of(rule), weights)]
        if not module.check_mode:
            for rule in other:
                client.modify_rule(aws_retry=True, RuleArn=rule["RuleArn"], Actions=forward(weights))
    before = {rule["Priority"]: {name_of(arn): weight for arn, weight in weights_of(rule).items()} for rule in other}
    after = {name_of(arn): weight for arn, weight in weights.items()}
    module.exit_json(
        changed=bool(other),
        rules=[rule["Priority"] for rule in mine],
        diff={"before": before, "after": dict.fromkeys(before, after)},
    )


if __name__ == "__main__":
    main()
