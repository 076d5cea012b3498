#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage what amazon.aws.autoscaling_group has no options for."""

from __future__ import annotations

DOCUMENTATION = r"""
module: autoscaling_group_settings
version_added: 0.1.0
short_description: Manage warm-up, maintenance, warm pool and suspension of an auto-scaling group
description:
  - Sets properties of an existing auto-scaling group for which M(amazon.aws.autoscaling_group) has no options.
  - An option that is not given leaves the property as it is.
author:
  - Chroma Fleet developers
options:
  name:
    description: Name of the auto-scaling group.
    type: str
    required: true
  default_instance_warmup:
    description:
      - Seconds after which a new instance's metrics count. V(-1) removes the setting.
    type: int
  capacity_rebalance:
    description: Whether a Spot instance that AWS is likely to take back is replaced before.
    type: bool
  instance_maintenance_policy:
    description: How many instances there must and may be while some are replaced, in percent of the desired capacity.
    type: dict
    suboptions:
      min_healthy_percentage:
        description: The least, V(0) to V(100).
        type: int
        required: true
      max_healthy_percentage:
        description: The most, V(100) to V(200), and at most 100 above the least.
        type: int
        required: true
  warm_pool:
    description:
      - Instances that are started beforehand and join when the group grows. An empty dictionary removes the pool.
      - AWS refuses a pool in a group that starts Spot instances.
    type: dict
    suboptions:
      min_size:
        description: The least number of instances in the pool.
        type: int
      max_prepared_capacity:
        description:
          - The most instances in the group and its pool together. With the same number as O(warm_pool.min_size), the
            pool has exactly that size.
        type: int
      pool_state:
        description: What the instances do in the pool.
        type: str
        choices: [Stopped, Hibernated, Running]
  suspended_processes:
    description:
      - Processes that are suspended, such as C(ReplaceUnhealthy); all others are resumed.
      - M(amazon.aws.autoscaling_group) sets them only together with everything else that a group has.
    type: list
    elements: str
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Replace instances before they are terminated, and let new ones settle
  chromafleet.aws.autoscaling_group_settings:
    name: production-main-reader
    default_instance_warmup: 300
    instance_maintenance_policy:
      min_healthy_percentage: 100
      max_healthy_percentage: 110

- name: Keep two stopped instances ready
  chromafleet.aws.autoscaling_group_settings:
    name: production-main-reader
    warm_pool:
      min_size: 2
      max_prepared_capacity: 2
      pool_state: Stopped

- name: Replace no instance while one is being updated
  chromafleet.aws.autoscaling_group_settings:
    name: production-main-reader
    suspended_processes: [AZRebalance, ReplaceUnhealthy]

- name: Remove the warm pool
  chromafleet.aws.autoscaling_group_settings:
    name: production-main-reader
    warm_pool: {}
"""

RETURN = r"""
settings:
  description: The properties that this module manages, as they are now.
  returned: always
  type: dict
  sample:
    default_instance_warmup: 300
    capacity_rebalance: false
    instance_maintenance_policy: {"min_healthy_percentage": 100, "max_healthy_percentage": 110}
    warm_pool: {}
    suspended_processes: []
"""

from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict, snake_dict_to_camel_dict
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.ensure import differences

Settings = dict[str, Any]

# Option -> what the warm pool's calls call it.
POOL = {"min_size": "MinSize", "max_prepared_capacity": "MaxGroupPreparedCapacity", "pool_state": "PoolState"}
NO_WARMUP = -1


def settings_of(group: dict[str, Any]) -> Settings:
    """The group's properties in terms of this module's options."""
    pool = group.get("WarmPoolConfiguration") or {}
    if pool.get("Status") == "PendingDelete":
        pool = {}
    return {
        "default_instance_warmup": group.get("DefaultInstanceWarmup", NO_WARMUP),
        "capacity_rebalance": group.get("CapacityRebalance", False),
        "instance_maintenance_policy": camel_dict_to_snake_dict(group.get("InstanceMaintenancePolicy") or {}),
        "warm_pool": {ours: pool[theirs] for ours, theirs in POOL.items() if theirs in pool},
        "suspended_processes": sorted(process["ProcessName"] for process in group.get("SuspendedProcesses", [])),
    }


def wanted_settings(params: dict[str, Any], found: Settings) -> Settings:
    """What the options ask for that were given."""
    wanted = {name: params[name] for name in found if params[name] is not None}
    if wanted.get("warm_pool"):
        given = {name: value for name, value in wanted["warm_pool"].items() if value is not None}
        wanted["warm_pool"] = {**found["warm_pool"], **given} if given else {}
    if "suspended_processes" in wanted:
        wanted["suspended_processes"] = sorted(set(wanted["suspended_processes"]))
    return wanted


def suspend(client: Any, name: str, found: list[str], wanted: list[str]) -> None:
    """Suspend these processes, and resume the others."""
    if more := sorted(set(wanted) - set(found)):
        client.suspend_processes(aws_retry=True, AutoScalingGroupName=name, ScalingProcesses=more)
    # Without a name, AWS would take all of them.
    if less := sorted(set(found) - set(wanted)):
        client.resume_processes(aws_retry=True, AutoScalingGroupName=name, ScalingProcesses=less)


def apply(client: Any, name: str, found: Settings, changes: Settings) -> None:
    """Make the changes."""
    changes = dict(changes)
    if "suspended_processes" in changes:
        suspend(client, name, found["suspended_processes"], changes.pop("suspended_processes"))
    pool = changes.pop("warm_pool", None)
    if changes:
        client.update_auto_scaling_group(
            aws_retry=True, AutoScalingGroupName=name, **snake_dict_to_camel_dict(changes, capitalize_first=True)
        )
    if pool:
        arguments = {theirs: pool[ours] for ours, theirs in POOL.items() if ours in pool}
        client.put_warm_pool(aws_retry=True, AutoScalingGroupName=name, **arguments)
    elif pool is not None:
        client.delete_warm_pool(aws_retry=True, AutoScalingGroupName=name, ForceDelete=True)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "default_instance_warmup": {"type": "int"},
            "capacity_rebalance": {"type": "bool"},
            "instance_maintenance_policy": {
                "type": "dict",
                "options": {
                    "min_healthy_percentage": {"type": "int", "required": True},
                    "max_healthy_percentage": {"type": "int", "required": True},
                },
            },
            "suspended_processes": {"type": "list", "elements": "str"},
            "warm_pool": {
                "type": "dict",
                "options": {
                    "min_size": {"type": "int"},
                    "max_prepared_capacity": {"type": "int"},
                    "pool_state": {"type": "str", "choices": ["Stopped", "Hibernated", "Running"]},
                },
            },
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    client = module.client("autoscaling", retry_decorator=AWSRetry.jittered_backoff(retries=10))
    with aws_errors(module, f"Failed to manage the settings of the auto-scaling group {name}"):
        groups = client.describe_auto_scaling_groups(aws_retry=True, AutoScalingGroupNames=[name])["AutoScalingGroups"]
        if not groups:
            module.fail_json(msg=f"There is no auto-scaling group {name}: make it first, or correct its name.")
        found = settings_of(groups[0])
        result = differences(found, wanted_settings(module.params, found))
        changes = result["diff"]["after"]
        if changes and not module.check_mode:
            apply(client, name, found, changes)
    module.exit_json(**result, settings={**found, **changes})


if __name__ == "__main__":
    main()
