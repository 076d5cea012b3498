"""The module instance_refresh, run in this process against recorded answers, and what it compares."""

from __future__ import annotations

import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.launch_templates import versions_like_latest
from module_runs import auto_scaling_group

GROUP = "production-main-reader"
CONTENTS = ["t3.medium", "t3.large", "t3.medium"]
SPOT = {"InstancesDistribution": {"OnDemandBaseCapacity": 1}}


def template(version):
    return {"LaunchTemplateId": "lt-1", "Version": version}


def instance(name, version, template_id="lt-1"):
    return {
        "InstanceId": name,
        "AvailabilityZone": "us-east-1a",
        "LifecycleState": "InService",
        "HealthStatus": "Healthy",
        "ProtectedFromScaleIn": False,
        "LaunchTemplate": {"LaunchTemplateId": template_id, "Version": version},
    }


@pytest.fixture
def account(record):
    """A group, the contents of its template (the newest last) and its refreshes: the Stubber of later calls."""
    autoscaling, ec2 = record("autoscaling"), record("ec2")

    def has(version, instances, contents=CONTENTS, refreshes=(), **properties):
        properties = properties or {"LaunchTemplate": template(version)}
        group = auto_scaling_group(GROUP, Instances=instances, **properties)
        autoscaling.add_response(
            "describe_auto_scaling_groups", {"AutoScalingGroups": [group]}, {"AutoScalingGroupNames": [GROUP]}
        )
        versions = [
            {"VersionNumber": number, "LaunchTemplateData": {"InstanceType": content}}
            for number, content in enumerate(contents, 1)
        ]
        ec2.add_response(
            "describe_launch_template_versions",
            {"LaunchTemplateVersions": versions[::-1]},
            {"LaunchTemplateId": "lt-1"},
        )
        autoscaling.add_response(
            "describe_instance_refreshes",
            {"InstanceRefreshes": [{"InstanceRefreshId": key, "Status": status} for key, status in refreshes]},
            {"AutoScalingGroupName": GROUP},
        )
        return autoscaling

    return has


def starts(stub, desired, **preferences):
    stub.add_response(
        "start_instance_refresh",
        {"InstanceRefreshId": "new"},
        {
            "AutoScalingGroupName": GROUP,
            "Strategy": "Rolling",
            "DesiredConfiguration": desired,
            "Preferences": {
                "SkipMatching": True,
                "AutoRollback": True,
                **preferences,
            },
        },
    )


def test_what_holds_the_same_is_as_new():
    versions = [{"VersionNumber": n, "LaunchTemplateData": data} for n, data in ((2, "b"), (3, "a"), (1, "a"))]
    newest, alike = versions_like_latest(versions)
    assert (newest["VersionNumber"], alike) == (3, ["1", "3"])


def test_instances_of_another_content_are_replaced(account, run_module):
    starts(account("2", [instance("i-2", "2"), instance("i-1", "1")]), {"LaunchTemplate": template("3")})
    result = run_module("instance_refresh", name=GROUP)
    assert (result["changed"], result["refresh_id"], result["version"]) == (True, "new", "3")
    assert result["behind"] == [{"id": "i-2", "version": "2"}]
    assert result["diff"]["before"] == {"launch_template_version": "2", "instances": result["behind"]}


def test_options(account, run_module):
    stub = account("2", [instance("i-2", "2")])
    more = {"AlarmSpecification": {"Alarms": ["errors"]}, "InstanceWarmup": 60}
    starts(stub, {"LaunchTemplate": template("3")}, **more)
    assert run_module("instance_refresh", name=GROUP, alarms=["errors"], instance_warmup=60)["changed"]


def test_aws_gets_a_number_to_go_back_to(account, run_module):
    """The lowest: the group's others are what they were started from as well."""
    stub = account("$Latest", [instance("i-9", "10"), instance("i-2", "2")], contents=["a", "b", *["c"] * 8, "d"])
    stub.add_response("update_auto_scaling_group", {}, {"AutoScalingGroupName": GROUP, "LaunchTemplate": template("2")})
    starts(stub, {"LaunchTemplate": template("11")})
    assert run_module("instance_refresh", name=GROUP)["diff"]["before"]["launch_template_version"] == "2"


def test_several_instance_types_stay(account, run_module):
    overrides = [{"InstanceType": "m7i.large"}]

    def policy(version):
        launch = {"LaunchTemplateSpecification": template(version), "Overrides": overrides}
        return {"MixedInstancesPolicy": {"LaunchTemplate": launch, **SPOT}}

    starts(account("2", [instance("i-2", "2")], **policy("2")), policy("3"))
    assert run_module("instance_refresh", name=GROUP)["refresh_id"] == "new"


def test_an_instance_of_another_template_is_behind(account, run_module):
    starts(account("3", [instance("i-3", "3", "lt-0")]), {"LaunchTemplate": template("3")})
    assert run_module("instance_refresh", name=GROUP)["behind"] == [{"id": "i-3", "version": ""}]


def test_without_an_older_instance_new_ones_get_the_newest_version(account, run_module):
    stub = account("1", [instance("i-1", "1")])
    stub.add_response("update_auto_scaling_group", {}, {"AutoScalingGroupName": GROUP, "LaunchTemplate": template("3")})
    result = run_module("instance_refresh", name=GROUP)
    assert (result["changed"], result["refresh_id"], result["behind"]) == (True, "", [])


def test_as_wanted(account, run_module):
    account("3", [instance("i-3", "3"), instance("i-1", "1")], refreshes=[("old", "Successful")])
    result = run_module("instance_refresh", name=GROUP)
    assert (result["changed"], result["refresh_id"], result["diff"]) == (False, "", {})


@pytest.mark.parametrize("status", ["Pending", "InProgress", "RollbackInProgress"])
def test_one_that_is_under_way_goes_on(account, run_module, status):
    account("2", [instance("i-2", "2")], refreshes=[("running", status), ("old", "Failed")])
    result = run_module("instance_refresh", name=GROUP)
    assert (result["changed"], result["refresh_id"]) == (False, "running")


def test_check_mode_starts_nothing(account, run_module):
    account("$Latest", [instance("i-2", "2")])
    result = run_module("instance_refresh", check=True, name=GROUP)
    assert (result["changed"], result["refresh_id"]) == (True, "")


def test_a_group_that_is_not_there(record, run_module):
    record("ec2")
    record("autoscaling").add_response(
        "describe_auto_scaling_groups", {"AutoScalingGroups": []}, {"AutoScalingGroupNames": [GROUP]}
    )
    assert run_module("instance_refresh", name=GROUP)["msg"] == (
        f"There is no auto-scaling group {GROUP}: make it first, or correct its name."
    )
