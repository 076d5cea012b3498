"""The modules for auto-scaling groups, run in this process against recorded answers."""

from __future__ import annotations

import json

import pytest
from module_runs import NOW, auto_scaling_group

GROUP = "production-main-reader"


@pytest.fixture
def stub(record):
    """AWS's answers, in order; a call that differs from them fails, and all must be made."""
    return record("autoscaling")


def answer_group(stub, **properties):
    groups = [auto_scaling_group(GROUP, **properties)] if properties.get("exists", True) else []
    stub.add_response("describe_auto_scaling_groups", {"AutoScalingGroups": groups}, {"AutoScalingGroupNames": [GROUP]})


SETTINGS = {
    "default_instance_warmup": 300,
    "capacity_rebalance": True,
    "instance_maintenance_policy": {"min_healthy_percentage": 100, "max_healthy_percentage": 110},
    "warm_pool": {"min_size": 2, "max_prepared_capacity": 2, "pool_state": "Stopped"},
    "suspended_processes": [],
}
AS_SET = {
    "DefaultInstanceWarmup": 300,
    "CapacityRebalance": True,
    "InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110},
}
POOL = {"MinSize": 2, "MaxGroupPreparedCapacity": 2, "PoolState": "Stopped"}


def test_settings_are_set(stub, run_module):
    answer_group(stub)
    stub.add_response("update_auto_scaling_group", {}, {"AutoScalingGroupName": GROUP, **AS_SET})
    stub.add_response("put_warm_pool", {}, {"AutoScalingGroupName": GROUP, **POOL})
    result = run_module("autoscaling_group_settings", name=GROUP, **SETTINGS)
    assert result["changed"]
    assert result["settings"] == SETTINGS
    assert result["diff"]["after"] == {name: value for name, value in SETTINGS.items() if value != []}


def test_settings_as_wanted_make_no_call(stub, run_module):
    answer_group(stub, **AS_SET, WarmPoolConfiguration=POOL)
    assert not run_module("autoscaling_group_settings", name=GROUP, **SETTINGS)["changed"]


def test_settings_that_are_not_given_stay(stub, run_module):
    answer_group(stub, **AS_SET, WarmPoolConfiguration=POOL)
    stub.add_response("update_auto_scaling_group", {}, {"AutoScalingGroupName": GROUP, "DefaultInstanceWarmup": 60})
    result = run_module("autoscaling_group_settings", name=GROUP, default_instance_warmup=60)
    assert result["diff"] == {"before": {"default_instance_warmup": 300}, "after": {"default_instance_warmup": 60}}


def test_settings_in_check_mode_change_nothing(stub, run_module):
    answer_group(stub)
    assert run_module("autoscaling_group_settings", check=True, name=GROUP, **SETTINGS)["changed"]


def test_exactly_these_processes_are_suspended(stub, run_module):
    suspended = [{"ProcessName": "Launch"}, {"ProcessName": "AZRebalance"}]
    answer_group(stub, SuspendedProcesses=suspended)
    stub.add_response(
        "suspend_processes", {}, {"AutoScalingGroupName": GROUP, "ScalingProcesses": ["ReplaceUnhealthy"]}
    )
    stub.add_response("resume_processes", {}, {"AutoScalingGroupName": GROUP, "ScalingProcesses": ["Launch"]})
    wanted = ["ReplaceUnhealthy", "AZRebalance"]
    result = run_module("autoscaling_group_settings", name=GROUP, suspended_processes=wanted)
    assert result["settings"]["suspended_processes"] == ["AZRebalance", "ReplaceUnhealthy"]
    answer_group(stub, SuspendedProcesses=suspended)
    result = run_module("autoscaling_group_settings", name=GROUP, suspended_processes=["Launch", "AZRebalance"])
    assert not result["changed"]
    answer_group(stub, SuspendedProcesses=suspended)
    assert run_module("autoscaling_group_settings", check=True, name=GROUP, suspended_processes=[])["changed"]


def test_an_empty_warm_pool_is_none(stub, run_module):
    answer_group(stub, WarmPoolConfiguration=POOL)
    stub.add_response("delete_warm_pool", {}, {"AutoScalingGroupName": GROUP, "ForceDelete": True})
    assert run_module("autoscaling_group_settings", name=GROUP, warm_pool={})["changed"]
    answer_group(stub, WarmPoolConfiguration={**POOL, "Status": "PendingDelete"})
    assert not run_module("autoscaling_group_settings", name=GROUP, warm_pool={})["changed"]


def test_settings_of_a_group_that_does_not_exist(stub, run_module):
    answer_group(stub, exists=False)
    assert run_module("autoscaling_group_settings", name=GROUP, capacity_rebalance=True)["msg"] == (
        "There is no auto-scaling group production-main-reader: make it first, or correct its name."
    )


CPU = {"group": GROUP, "name": "cpu", "target": 70, "metric": {"predefined": "ASGAverageCPUUtilization"}}
CPU_SENT = {
    "TargetValue": 70.0,
    "DisableScaleIn": False,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
}
MEMORY = {
    "group": GROUP,
    "name": "memory",
    "target": 80,
    "metric": {
        "namespace": "ChromaFleet",
        "name": "mem_used_percent",
        "dimensions": {"Role": "reader", "Cell": "main"},
    },
}
MEMORY_SENT = {
    "TargetValue": 80.0,
    "DisableScaleIn": False,
    "CustomizedMetricSpecification": {
        "MetricName": "mem_used_percent",
        "Namespace": "ChromaFleet",
        "Dimensions": [{"Name": "Cell", "Value": "main"}, {"Name": "Role", "Value": "reader"}],
        "Statistic": "Average",
    },
}
BOTH = [(CPU, CPU_SENT), (MEMORY, MEMORY_SENT)]
POLICY = "autoscaling_target_tracking_policy"


def answer_policies(stub, name, *policies):
    wanted = {"PolicyNames": [name], "AutoScalingGroupName": GROUP}
    stub.add_response("describe_policies", {"ScalingPolicies": list(policies)}, wanted)


def put(name, configuration):
    return {
        "PolicyName": name,
        "AutoScalingGroupName": GROUP,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingConfiguration": configuration,
    }


@pytest.mark.parametrize(("options", "sent"), BOTH)
def test_a_policy_is_made(stub, run_module, options, sent):
    answer_policies(stub, options["name"])
    stub.add_response("put_scaling_policy", {}, put(options["name"], sent))
    result = run_module(POLICY, **options)
    assert result["changed"]
    assert result["policy"] == sent


@pytest.mark.parametrize(("options", "sent"), BOTH)
def test_a_policy_as_wanted_makes_no_call(stub, run_module, options, sent):
    # AWS keeps no order of dimensions.
    found = json.loads(json.dumps(sent))
    found.get("CustomizedMetricSpecification", {}).get("Dimensions", []).reverse()
    answer_policies(stub, options["name"], put(options["name"], found))
    assert not run_module(POLICY, **options)["changed"]


def test_a_policy_that_differs_is_put_again(stub, run_module):
    answer_policies(stub, "cpu", put("cpu", {**CPU_SENT, "TargetValue": 50.0}))
    stub.add_response("put_scaling_policy", {}, put("cpu", CPU_SENT))
    assert run_module(POLICY, **CPU)["diff"]["before"]["TargetValue"] == 50.0


def test_a_policy_of_another_type_is_replaced(stub, run_module):
    answer_policies(stub, "cpu", {"PolicyName": "cpu", "PolicyType": "SimpleScaling", "AutoScalingGroupName": GROUP})
    stub.add_response("delete_policy", {}, {"PolicyName": "cpu", "AutoScalingGroupName": GROUP})
    stub.add_response("put_scaling_policy", {}, put("cpu", CPU_SENT))
    assert run_module(POLICY, **CPU)["changed"]


def test_a_policy_is_deleted_from_its_own_group_only(stub, run_module):
    answer_policies(stub, "x", {"PolicyName": "x", "PolicyType": "StepScaling", "AutoScalingGroupName": GROUP})
    stub.add_response("delete_policy", {}, {"PolicyName": "x", "AutoScalingGroupName": GROUP})
    assert run_module(POLICY, group=GROUP, name="x", state="absent")["changed"]
    answer_policies(stub, "x")
    assert not run_module(POLICY, group=GROUP, name="x", state="absent")["changed"]


@pytest.mark.parametrize("arguments", [CPU, {"group": GROUP, "name": "cpu", "state": "absent"}])
def test_policies_in_check_mode(stub, run_module, arguments):
    answer_policies(stub, "cpu", put("cpu", {**CPU_SENT, "TargetValue": 50.0}))
    assert run_module(POLICY, check=True, **arguments)["changed"]


def test_a_metric_is_one_of_two_kinds(stub, run_module):
    assert (
        "mutually exclusive"
        in run_module(POLICY, **{**CPU, "metric": {**CPU["metric"], "namespace": "n", "name": "m"}})["msg"]
    )
    assert "one of the following is required" in run_module(POLICY, **{**CPU, "metric": {}})["msg"]


def activity(
    group, hour, status="Failed", message="You have requested more vCPU capacity than your limit of 8 allows."
):
    return {
        "ActivityId": f"{group}{hour}",
        "AutoScalingGroupName": group,
        "Cause": "c",
        "StartTime": NOW.replace(hour=hour),
        "StatusCode": status,
        **({"StatusMessage": message} if message else {}),
    }


def test_activities_newest_first(stub, run_module):
    for group, hours in {"one": [1, 3], "two": [2]}.items():
        activities = [activity(group, hour) for hour in hours] + [activity(group, 9, "Successful", message="")]
        stub.add_response(
            "describe_scaling_activities",
            {"Activities": activities},
            {"AutoScalingGroupName": group, "MaxRecords": 100},
        )
    result = run_module("autoscaling_activity_info", groups=["one", "two"], failed=True)
    assert [found["activity_id"] for found in result["activities"]] == ["one3", "two2", "one1"]
    assert result["activities"][0]["status_message"].startswith("You have requested more vCPU")


def test_activities_of_every_outcome(stub, run_module):
    stub.add_response("describe_scaling_activities", {"Activities": [activity("one", 1, "Successful", message="")]})
    (found,) = run_module("autoscaling_activity_info", groups=["one"])["activities"]
    assert (found["status_code"], found["status_message"]) == ("Successful", "")
