"""The role aws_fleet: what it refuses before anything is changed, and a cell's life against a local API."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from ansible_runs import ROOT, run_ansible
from localcloud.patches import _probe

ROLE = ROOT / "roles/aws_fleet"
NOTHING = {kind: {} for kind in ("groups", "hooks", "instances", "launch_templates", "policies", "schedule", "volumes")}
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
TAGS = {"chromafleet:fleet": "demo", "chromafleet:cell": "main"}
CELL = {
    "aws_fleet_name": "demo",
    "aws_fleet_cell": "main",
    "aws_fleet_tags": TAGS,
    "aws_fleet_found": NOTHING,
    "aws_fleet_subnets": [{"id": "subnet-1", "availability_zone": "us-east-1a"}],
    "aws_fleet_security_group_id": "sg-1",
    "aws_fleet_region": "us-east-1",
    "aws_fleet_boot_bucket": "demo-boot",
    "aws_fleet_writer_instance_profile": "arn:aws:iam::123456789012:instance-profile/demo-writer",
    "aws_fleet_reader_instance_profile": "arn:aws:iam::123456789012:instance-profile/demo-reader",
    "aws_fleet_writer_target_group_arn": "arn:writer",
    "aws_fleet_reader_target_group_arn": "arn:reader",
}
VOLUME = {"id": "vol-1", "cell": "main", "role": "data", "zone": "us-east-1a", "size": 20, "encrypted": True}
VOLUME |= {"kms_key_arn": "arn:aws-ebs"}
ACTION = {"name": "night", "recurrence": "0 1 * * *", "min": 1, "max": 3, "desired": 2}


def with_volumes(*volumes):
    return {"aws_fleet_found": {**NOTHING, "volumes": {volume["id"]: volume for volume in volumes}}}


FAULTS = {
    "more readers than the most": (
        {"aws_fleet_readers_min": 3, "aws_fleet_readers_max": 2},
        "<= aws_fleet_readers_desired <= aws_fleet_readers_max must hold, but they are 3, 3 and 2.",
    ),
    "tags of another cell": (
        {"aws_fleet_tags": {"chromafleet:fleet": "demo"}},
        'by which the cell\'s resources are found again, but is {"chromafleet:fleet": "demo"}.',
    ),
    "name too long": (
        {"aws_fleet_cell": "c" * 120, "aws_fleet_tags": {**TAGS, "chromafleet:cell": "c" * 120}},
        '-writer" (132 characters), but AWS allows a launch template 3 to 128 letters, digits and ( ) . / _ -',
    ),
    "a character too many": (
        {"aws_fleet_cell": "ma in", "aws_fleet_tags": {**TAGS, "chromafleet:cell": "ma in"}},
        'make the name "demo-ma in-writer" (17 characters)',
    ),
    "user data too long": (
        {"aws_fleet_user_data": "x" * 16385},
        "aws_fleet_user_data has 16385 characters, but of the 16384 that AWS allows,",
    ),
    "an alias for a key": (
        {"aws_fleet_kms_key_arn": "alias/chroma"},
        'aws_fleet_kms_key_arn is "alias/chroma", but must be a key\'s ARN',
    ),
    "no such type": (
        {"aws_fleet_instance_type": "m7i.lrage"},
        'aws_fleet_instance_type is "m7i.lrage", which is no instance type of AWS\'s: did you mean m7i.large?',
    ),
    "another architecture": (
        {"aws_fleet_instance_type": "m7g.large"},
        'is "m7g.large", whose processor is arm64, but the image debian-13-amd64-* is for x86_64',
    ),
    "a reader of another architecture": (
        {"aws_fleet_reader_instance_types": ["m7i.large", "m7g.large"]},
        'aws_fleet_reader_instance_types holds "m7g.large", whose processor is arm64',
    ),
    "a type twice": (
        {"aws_fleet_reader_instance_types": ["m7i.large", "m7i.large"]},
        'must list at least one type and each once, but is ["m7i.large", "m7i.large"].',
    ),
    "no type": (
        {"aws_fleet_reader_instance_types": []},
        "aws_fleet_reader_instance_types must list at least one type and each once, but is [].",
    ),
    "more than all": (
        {"aws_fleet_reader_spot_percentage": 101},
        "must be 0 to 100 and aws_fleet_reader_on_demand_base 0 or more, but they are 101 and 1.",
    ),
    "a warm pool of Spot": (
        {"aws_fleet_reader_spot_percentage": 50, "aws_fleet_reader_warm_pool_size": 2},
        "_pool_size is 2 and aws_fleet_reader_spot_percentage 50, but AWS keeps no warm pool of Spot instances",
    ),
    "a short life": (
        {"aws_fleet_reader_max_instance_lifetime": 3600},
        "aws_fleet_reader_max_instance_lifetime is 3600, but AWS allows 86400 to 31536000 seconds",
    ),
    "a short drain": (
        {"aws_fleet_reader_drain_seconds": 10},
        "aws_fleet_reader_drain_seconds is 10, but AWS allows a lifecycle hook 30 to 7200 seconds; 0 makes none.",
    ),
    "a target above all": (
        {"aws_fleet_reader_cpu_target": 700},
        "0 makes no policy), but they are 700, 80 and 12000.",
    ),
    "one action twice": (
        {"aws_fleet_reader_schedule": [ACTION, ACTION]},
        "aws_fleet_reader_schedule must have each name once, but its names are: night, night.",
    ),
    "an action that can't be": (
        {"aws_fleet_reader_schedule": [ACTION, {**ACTION, "name": "day", "max": 1}]},
        "In aws_fleet_reader_schedule, min <= desired <= max must hold of each action, but does not of day.",
    ),
    "an action without a time": (
        {"aws_fleet_reader_schedule": [{"name": "night", "min": 0, "max": 1, "desired": 1}]},
        "missing required arguments: recurrence found in aws_fleet_reader_schedule",
    ),
    "too few operations": (
        {"aws_fleet_data_volume_iops": 100},
        "aws_fleet_data_volume_iops is 100, but a gp3 volume of 20 GiB takes 3000 to 10000.",
    ),
    "too much throughput": (
        {"aws_fleet_data_volume_throughput": 900},
        "aws_fleet_data_volume_throughput is 900, but a gp3 volume with 3000 IOPS takes 125 to 750 MiB/s.",
    ),
    "two data volumes": (
        with_volumes(VOLUME, {**VOLUME, "id": "vol-2"}),
        "but these have its tags: vol-1, vol-2 in us-east-1a, us-east-1a. Remove the tag chromafleet:role from those",
    ),
    "a data volume elsewhere": (
        with_volumes({**VOLUME, "zone": "us-east-1f"}),
        "one data volume in a zone of its subnets (us-east-1a), but these have its tags: vol-1 in us-east-1f.",
    ),
    "a smaller volume": (
        with_volumes({**VOLUME, "size": 100}),
        "aws_fleet_data_volume_size is 20, but the data volume vol-1 has 100 GiB already, and a volume never shrinks",
    ),
    "a volume in the clear": (
        with_volumes({**VOLUME, "encrypted": False}),
        "The data volume vol-1 is not encrypted, and AWS can't change that: copy a snapshot of it encrypted",
    ),
    "another key": (
        {**with_volumes(VOLUME), "aws_fleet_kms_key_arn": KEY},
        "but the data volume vol-1 is encrypted with arn:aws-ebs, and AWS can't change that: keep that key",
    ),
    "half a size": (
        {"aws_fleet_expected_vectors": 1000},
        "is 1000 and aws_fleet_vector_dimensions 0: the sizing check needs both, or neither (0).",
    ),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What each case of FAULTS is told; all in one run, and nothing answers where AWS would be."""
    folder = tmp_path_factory.mktemp("verdicts")
    tasks = []
    for number, case in enumerate(FAULTS):
        content = "{{ ansible_failed_result.msg }}{{ ansible_failed_result.argument_errors | default([]) | join }}"
        report = {"ansible.builtin.copy": {"dest": str(folder / str(number)), "mode": "0600", "content": content}}
        include = {
            "ansible.builtin.include_role": {"name": "chromafleet.aws.aws_fleet"},
            "vars": CELL | FAULTS[case][0],
        }
        tasks.append({"name": case, "block": [include], "rescue": [report]})
    nowhere = {"endpoint_url": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b", "region": "us-east-1"}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    play["module_defaults"] = {"group/amazon.aws.aws": nowhere}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    done = run_ansible(folder / "play.yml", inventory="localhost,")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in re.sub(r"changed=\d+ .*rescued", "changed=0", done.stdout)
    return {case: " ".join((folder / str(number)).read_text().split()) for number, case in enumerate(FAULTS)}


@pytest.mark.parametrize("case", FAULTS)
def test_bad_input_is_one_sentence(verdicts, case):
    assert FAULTS[case][1] in verdicts[case]


# --- How many readers there shall be ---------------------------------------------------------------------------------

SCALED = {"aws_fleet_readers_min": 2, "aws_fleet_readers_max": 6, "aws_fleet_readers_desired": 3}
BALANCER = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/demo/1"


def with_readers(least, most, desired):
    groups = {"demo-main-reader": {"min": least, "max": most, "desired": desired}}
    return {**SCALED, "aws_fleet_found": {**NOTHING, "groups": groups}}


# Values -> the policies, the least, the most and the desired number.
NUMBERS = {
    "none": ({}, [[], 0, 0, 0]),
    "a fixed number": ({"aws_fleet_readers_min": 2, "aws_fleet_readers_max": 2}, [[], 2, 2, 2]),
    "none at first, which no metric can change": ({"aws_fleet_readers_max": 2}, [[], 0, 2, 0]),
    "scaled": (
        {**SCALED, "aws_fleet_load_balancer_arn": BALANCER},
        [["cpu", "requests", "memory"], 2, 6, 3],
    ),
    "no load balancer to count by": (SCALED, [["cpu", "memory"], 2, 6, 3]),
    "switched off": (
        {**SCALED, "aws_fleet_reader_cpu_target": 0, "aws_fleet_reader_memory_target": 0},
        [[], 2, 6, 3],
    ),
    "what the policies made stays": (with_readers(2, 6, 5), [["cpu", "memory"], 2, 6, 5]),
    "but not above the most": (with_readers(2, 9, 9), [["cpu", "memory"], 2, 6, 6]),
    "nor below the least": (with_readers(0, 6, 0), [["cpu", "memory"], 2, 6, 2]),
    "without policies a run sets the number": (
        {**with_readers(2, 6, 5), "aws_fleet_reader_cpu_target": 0, "aws_fleet_reader_memory_target": 0},
        [[], 2, 6, 3],
    ),
    "what the schedule made stays": (
        {**with_readers(1, 3, 2), "aws_fleet_reader_schedule": [ACTION]},
        [["cpu", "memory"], 1, 3, 2],
    ),
    "what nobody scheduled doesn't": (
        {**with_readers(1, 4, 2), "aws_fleet_reader_schedule": [ACTION]},
        [["cpu", "memory"], 2, 6, 2],
    ),
}


def made_of(cases, expression, folder):
    """What the role's variables make of each case; all in one run."""
    content = f"{{{{ {expression} | to_json }}}}"
    tasks = [
        {
            "ansible.builtin.copy": {"dest": str(folder / str(number)), "mode": "0600", "content": content},
            "vars": CELL | values,
        }
        for number, (values, _) in enumerate(cases.values())
    ]
    files = [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars_files": files, "tasks": tasks}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    done = run_ansible(folder / "play.yml", inventory="localhost,")
    assert done.returncode == 0, done.stdout + done.stderr
    return {case: json.loads((folder / str(number)).read_text()) for number, case in enumerate(cases)}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    sizes = "__aws_fleet_reader_min, __aws_fleet_reader_max, __aws_fleet_reader_desired"
    expression = f"[__aws_fleet_policies | map(attribute='policy') | list, {sizes}]"
    return made_of(NUMBERS, expression, tmp_path_factory.mktemp("numbers"))


@pytest.mark.parametrize("case", NUMBERS)
def test_the_number_of_readers(numbers, case):
    assert numbers[case] == NUMBERS[case][1]


# --- Which version of its launch template a group has ----------------------------------------------------------------


def with_template(version, started, template=None, same=(), made=()):
    """A group with a version and instances that were started from some; its template, and what this run made of it."""
    name = "demo-main-reader"
    instances = [{"id": f"i-{number}", "template_version": number} for number in started]
    return {
        "aws_fleet_found": {
            **NOTHING,
            "groups": {name: {"template_version": version, "instances": instances}} if version else {},
            "launch_templates": {name: {"version": template, "same_versions": list(same)}} if template else {},
        },
        "__aws_fleet_template_plan": {"apply": [{"name": name}] if made else []},
        "__aws_fleet_made_templates": {"results": [{"item": {"name": name}, **one} for one in made]},
    }


# Values -> the version, and the instances that are older than their template.
VERSIONS = {
    "a new cell": (with_template("", [], made=[{"latest_version": 1}]), ["1", []]),
    "as its instances": (with_template("3", ["3"], "3", ["3"]), ["3", []]),
    "until they are replaced": (with_template("3", ["3"], "3", ["3"], [{"latest_version": 4}]), ["3", ["i-3"]]),
    "and after this run": (with_template("3", ["3"], "4", ["4"]), ["3", ["i-3"]]),
    "without instances the newest": (with_template("3", [], "4", ["4"]), ["4", []]),
    "and in a check run the one that would be": (with_template("3", [], "4", ["4"], [{}]), ["5", []]),
    "what holds the same is not older": (with_template("3", ["3"], "5", ["3", "5"]), ["3", []]),
    "no alias, which would change by itself": (with_template("$Latest", ["10", "9"], "10", ["10"]), ["9", ["i-9"]]),
}


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    older = "__aws_fleet_older[__aws_fleet_reader_name] | map(attribute='id') | list"
    return made_of(VERSIONS, f"[__aws_fleet_reader_version, {older}]", tmp_path_factory.mktemp("versions"))


@pytest.mark.parametrize("case", VERSIONS)
def test_the_version_of_the_launch_template(versions, case):
    assert versions[case] == VERSIONS[case][1]


# --- A second group of readers --------------------------------------------------------------------------------------


def reader_group(**properties):
    """What fleet_info tells of a group of readers, as far as it matters here."""
    found = {"arn": "arn:1", "cell": "main", "role": "reader", "instances": [], "min": 2, "max": 6, "desired": 3}
    found |= {"tags": TAGS, "target_groups": ["arn:reader"], "suspended": [], "template_version": "3"}
    return {**found, "template": "demo-main-reader", "unpropagated_tags": [], **properties}


def with_groups(serves, **groups):
    template = {"demo-main-reader": {"version": "7", "same_versions": ["7"]}}
    return {
        "aws_fleet_found": {
            **NOTHING,
            "groups": {f"demo-main-{end}": group for end, group in groups.items()},
            "launch_templates": template,
        },
        "aws_fleet_reader_group": serves,
        "aws_fleet_second_release": "new",
        "aws_fleet_release": "old",
        "aws_fleet_second_target_group_arn": "arn:second",
    }


STATE = {"chromafleet:state": "candidate", "chromafleet:release": "new"}
SECOND = {
    "the other name": (with_groups("green", green=reader_group()), ["demo-main-reader", "demo-main-reader", "7"]),
    "and that name": (with_groups("reader", reader=reader_group()), ["demo-main-green", "demo-main-reader", "7"]),
}
GOES_ON = {
    "none": (with_groups("reader", reader=reader_group()), False),
    "the same": (
        with_groups("reader", reader=reader_group(), green=reader_group(tags={**TAGS, **STATE})),
        True,
    ),
    "another release": (
        with_groups(
            "reader",
            reader=reader_group(),
            green=reader_group(tags={**TAGS, **STATE, "chromafleet:release": "older"}),
        ),
        False,
    ),
    "one that stands by": (
        with_groups(
            "reader",
            reader=reader_group(),
            green=reader_group(tags={**TAGS, **STATE, "chromafleet:state": "standby"}),
        ),
        False,
    ),
}


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Candidate, standby and switched, as they are wanted."""
    candidate = "[__aws_fleet_candidate.name, __aws_fleet_candidate.template, __aws_fleet_candidate.template_version]"
    folder = tmp_path_factory.mktemp("second")
    made = {
        "names": made_of(SECOND, candidate, folder),
        "goes on": made_of(GOES_ON, "__aws_fleet_second_goes_on", tmp_path_factory.mktemp("goes_on")),
    }
    both = with_groups(
        "reader", reader=reader_group(), green=reader_group(tags={**TAGS, **STATE}, suspended=["Launch"])
    )
    every = "[__aws_fleet_candidate, __aws_fleet_standby, __aws_fleet_switching]"
    made["all"] = made_of({"all": (both, None)}, every, tmp_path_factory.mktemp("all"))["all"]
    return made


@pytest.mark.parametrize("case", SECOND)
def test_the_second_group_has_the_newest_template(second, case):
    assert second["names"][case] == SECOND[case][1]


@pytest.mark.parametrize("case", GOES_ON)
def test_a_second_group_of_the_same_release_goes_on(second, case):
    assert second["goes on"][case] is GOES_ON[case][1]


def test_the_second_group_is_as_large_and_starts_nothing_afterwards(second):
    candidate, standby, serving = second["all"]
    for group in second["all"]:
        assert {key: group[key] for key in ("min", "max", "desired")} == {"min": 2, "max": 6, "desired": 3}
        assert not {"arn", "cell", "role", "instances"} & set(group)
    assert (candidate["target_groups"], candidate["suspended"]) == (["arn:second"], [])
    assert candidate["tags"].items() >= STATE.items()
    assert (standby["name"], standby["tags"]["chromafleet:release"]) == ("demo-main-reader", "old")
    assert "Launch" in standby["suspended"]
    # By a scheduled action it ends.
    assert not {"Terminate", "ScheduledActions"} & set(standby["suspended"])
    assert (serving["name"], serving["suspended"]) == ("demo-main-green", [])
    assert not {"chromafleet:state", "chromafleet:release"} & set(serving["tags"])
    # Of the groups only: an instance stays when its group begins to serve.
    assert set(candidate["unpropagated_tags"]) == set(standby["unpropagated_tags"]) == set(STATE)


# --- A cell's life ---------------------------------------------------------------------------------------------------

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    group/amazon.aws.aws: "{{ api }}"
    group/community.aws.aws: "{{ api }}"
    group/chromafleet.aws.aws: "{{ api }}"
  environment: {AWS_REGION: us-east-1, AWS_DEFAULT_REGION: us-east-1}
  vars:
    aws_fleet_found: "{{ fleet_found.fleet }}"
  tasks:
    - chromafleet.aws.fleet_info: {fleet: demo, layers: [fleet]}
      register: fleet_found
    - ansible.builtin.include_role: {name: chromafleet.aws.aws_fleet, tasks_from: "{{ entry }}"}
    - ansible.builtin.copy:
        dest: "{{ facts }}"
        mode: "0600"
        content: "{{ published | to_json }}"
      vars:
        published:
          instances: "{{ aws_fleet_instances.main }}"
          writer: "{{ aws_fleet_writer_instance_id }}"
          volume: "{{ aws_fleet_data_volume_id }}"
      check_mode: false
      changed_when: false
      when: entry == 'main'
"""
READER, WRITER = "demo-main-reader", "demo-main-writer"
EVERYTHING = {
    "aws_fleet_readers_min": 2,
    "aws_fleet_readers_max": 6,
    "aws_fleet_readers_desired": 3,
    "aws_fleet_reader_instance_types": ["m7i.large", "r7i.large"],
    "aws_fleet_reader_spot_percentage": 50,
    "aws_fleet_reader_max_instance_lifetime": 604800,
    "aws_fleet_reader_schedule": [{**ACTION, "time_zone": "Europe/Berlin"}],
    "aws_fleet_kms_key_arn": KEY,
    "aws_fleet_user_data": "#cloud-config\n",
    "aws_fleet_expected_vectors": 5_000_000,
    "aws_fleet_vector_dimensions": 1536,
}


class Cell:
    """A cell in an account of its own, and the playbook that makes it."""

    def __init__(self, api, folder):
        self.api, self.folder, self.values = api, folder, {}
        ec2, elb, iam = api.client("ec2"), api.client("elbv2"), api.client("iam")
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]
            for n, zone in enumerate("ab")
        ]
        for role in ("writer", "reader"):
            iam.create_instance_profile(InstanceProfileName=f"demo-{role}")
            made = elb.create_target_group(Name=f"demo-main-{role}", Protocol="HTTPS", Port=443, VpcId=vpc)
            self.values[f"aws_fleet_{role}_target_group_arn"] = made["TargetGroups"][0]["TargetGroupArn"]
        balancer = elb.create_load_balancer(Name="demo", Subnets=[subnet["SubnetId"] for subnet in subnets])
        self.values |= {
            "aws_fleet_load_balancer_arn": balancer["LoadBalancers"][0]["LoadBalancerArn"],
            "aws_fleet_security_group_id": ec2.create_security_group(GroupName="n", Description="n", VpcId=vpc)[
                "GroupId"
            ],
            "aws_fleet_subnets": [
                {"id": subnet["SubnetId"], "availability_zone": subnet["AvailabilityZone"]} for subnet in subnets
            ],
        }
        (folder / "play.yml").write_text(PLAY)

    def run(self, *arguments, entry="main", **values):
        """Run the role; the writes that it made stand in `writes`."""
        given = {name: value for name, value in CELL.items() if name != "aws_fleet_found"} | self.values | values
        given |= {"api": self.api.connection, "entry": entry, "facts": str(self.folder / "facts.json")}
        self.api.forget()
        done = run_ansible(
            self.folder / "play.yml",
            "-e",
            json.dumps(given),
            *arguments,
            inventory="localhost,",
            env={
                "ANSIBLE_CALLBACKS_ENABLED": "chromafleet.aws.fleet_plan,chromafleet.aws.fleet_summary",
                "COLUMNS": "400",
            },
        )
        self.output = done.stdout + done.stderr
        self.said = " ".join(self.output.split())
        self.writes = [call["operation"] for call in self.api.writes()]
        self.code = done.returncode
        return self

    @property
    def facts(self):
        return json.loads((self.folder / "facts.json").read_text())

    @property
    def counts(self):
        """Of the plan: create, change, destroy, unchanged."""
        return tuple(
            map(int, re.findall(r"(\d+) create, (\d+) change, (\d+) destroy, (\d+) unchanged", self.output)[-1])
        )

    @property
    def rows(self):
        """Of the plan: action, kind and name of what is not as wanted."""
        cells = [re.split(r"\s{2,}", line) for line in self.output.partition("FLEET PLAN")[2].splitlines()]
        return {tuple(row[:3]) for row in cells if row[0] in {"create", "change", "destroy"}}

    def group(self, name):
        groups = self.api.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return groups["AutoScalingGroups"][0]

    def drift(self):
        """Everything that somebody could do behind the fleet's back."""
        ec2, scaling = self.api.client("ec2"), self.api.client("autoscaling")
        newest = ec2.describe_launch_template_versions(LaunchTemplateName=READER, Versions=["$Latest"])
        data = newest["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        data["MetadataOptions"]["HttpTokens"] = "optional"
        ec2.create_launch_template_version(LaunchTemplateName=READER, LaunchTemplateData={**data, "KeyName": "mine"})
        scaling.delete_policy(AutoScalingGroupName=READER, PolicyName="cpu")
        scaling.put_scaling_policy(
            AutoScalingGroupName=READER, PolicyName="mine", AdjustmentType="ChangeInCapacity", ScalingAdjustment=1
        )
        scaling.put_scheduled_update_group_action(
            AutoScalingGroupName=READER, ScheduledActionName="mine", Recurrence="0 1 * * *", MaxSize=9
        )
        scaling.delete_lifecycle_hook(AutoScalingGroupName=READER, LifecycleHookName="drain")
        scaling.put_lifecycle_hook(
            AutoScalingGroupName=WRITER,
            LifecycleHookName="mine",
            LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        )
        scaling.update_auto_scaling_group(AutoScalingGroupName=READER, MaxSize=9, DefaultInstanceWarmup=10)
        scaling.set_desired_capacity(AutoScalingGroupName=READER, DesiredCapacity=5)
        scaling.suspend_processes(AutoScalingGroupName=WRITER, ScalingProcesses=["Launch"])
        tag = {"ResourceType": "auto-scaling-group", "Key": "team", "Value": "x", "PropagateAtLaunch": True}
        scaling.create_or_update_tags(Tags=[{**tag, "ResourceId": READER}])
        ec2.create_tags(Resources=[self.facts["volume"]], Tags=[{"Key": "team", "Value": "x"}])


@pytest.fixture(scope="module")
def cell(aws, tmp_path_factory):
    """The steps below follow one another, as an account's life does."""
    return Cell(aws, tmp_path_factory.mktemp("cell"))


@pytest.mark.long
def test_1_the_plan_of_an_empty_account(cell):
    cell.run("--check", **EVERYTHING)
    assert cell.code == 0, cell.output
    assert cell.writes == []
    assert cell.counts == (11, 0, 0, 0)


@pytest.mark.long
def test_2_create(cell):
    cell.run(**EVERYTHING)
    assert cell.code == 0, cell.output
    readers, writer = cell.group(READER), cell.group(WRITER)
    assert [len(group["Instances"]) for group in (readers, writer)] == [3, 1]
    assert cell.facts["writer"] == writer["Instances"][0]["InstanceId"]
    assert len(cell.facts["instances"]) == 4
    assert readers["CapacityRebalance"] is True
    assert readers["InstanceMaintenancePolicy"] == {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110}
    assert writer["InstanceMaintenancePolicy"] == {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100}
    (volume,) = cell.api.client("ec2").describe_volumes(VolumeIds=[cell.facts["volume"]])["Volumes"]
    assert volume["Attachments"][0]["InstanceId"] == cell.facts["writer"]
    assert (volume["Encrypted"], volume["KmsKeyId"], volume["VolumeType"]) == (True, KEY, "gp3")
    data = cell.api.client("ec2").describe_launch_template_versions(LaunchTemplateName=READER, Versions=["$Latest"])
    data = data["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert "KeyName" not in data
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["Monitoring"] == {"Enabled": True}
    assert data["IamInstanceProfile"]["Arn"].endswith("/demo-reader")
    assert data["BlockDeviceMappings"][0]["Ebs"]["KmsKeyId"] == KEY
    assert "r7i.xlarge is the smallest type that fits." in cell.said
    assert "raise aws_fleet_data_volume_size from 20." in cell.said


@pytest.mark.long
def test_3_again_makes_no_call_that_writes(cell):
    cell.run(**EVERYTHING)
    assert cell.code == 0, cell.output
    assert cell.writes == []
    assert "changed=0" in cell.output
    # One gather, and the image.
    assert [call["operation"] for call in cell.api.calls()].count("DescribeAutoScalingGroups") == 1
    assert len(cell.facts["instances"]) == 4


@pytest.mark.long
def test_4_the_plan_names_what_somebody_changed(cell):
    cell.drift()
    cell.run("--check", **EVERYTHING)
    assert cell.code == 0, cell.output
    assert cell.writes == []
    assert cell.rows == {
        ("change", "data volume", "demo-main-data"),
        ("change", "launch template", READER),
        ("change", "auto-scaling group", READER),
        ("change", "auto-scaling group", WRITER),
        ("create", "lifecycle hook", f"{READER}/drain"),
        ("destroy", "lifecycle hook", f"{WRITER}/mine"),
        ("create", "scaling policy", f"{READER}/cpu"),
        ("destroy", "scaling policy", f"{READER}/mine"),
        ("destroy", "scheduled action", f"{READER}/mine"),
    }
    assert 'others: ["KeyName"] -> []' in cell.output


@pytest.mark.long
def test_5_mend(cell):
    cell.run(**EVERYTHING)
    assert cell.code == 0, cell.output
    cell.run("--check", **EVERYTHING)
    assert cell.counts == (0, 0, 0, 11)
    # What the policies made of it stays.
    assert cell.group(READER)["DesiredCapacity"] == 5


@pytest.mark.long
def test_6_a_size_that_the_schedule_made_stays(cell):
    scaling = cell.api.client("autoscaling")
    size = {"MinSize": ACTION["min"], "MaxSize": ACTION["max"]}
    scaling.update_auto_scaling_group(AutoScalingGroupName=READER, DesiredCapacity=1, **size)
    cell.run("--check", **EVERYTHING)
    assert cell.counts == (0, 0, 0, 11)
    # Without the action it is no more right, and the least is as many as there must be.
    cell.run("--check", **{**EVERYTHING, "aws_fleet_reader_schedule": []})
    assert cell.rows == {
        ("change", "auto-scaling group", READER),
        ("destroy", "scheduled action", f"{READER}/{ACTION['name']}"),
    }
    assert "desired: 1 -> 2" in cell.output


@pytest.mark.long
def test_7_switched_off_again(cell):
    plain = {"aws_fleet_kms_key_arn": KEY, "aws_fleet_readers_min": 2, "aws_fleet_readers_max": 2}
    plain |= {"aws_fleet_reader_drain_seconds": 0, "aws_fleet_reader_warm_pool_size": 1}
    plain |= {"aws_fleet_data_volume_size": 40}
    cell.run(**plain)
    assert cell.code == 0, cell.output
    cell.run("--check", **plain)
    assert cell.counts == (0, 0, 0, 6)
    readers = cell.group(READER)
    assert "MixedInstancesPolicy" not in readers
    assert readers["WarmPoolConfiguration"]["MinSize"] == 1
    assert readers["CapacityRebalance"] is False
    assert "MaxInstanceLifetime" not in readers
    assert len(readers["Instances"]) == 2
    (volume,) = cell.api.client("ec2").describe_volumes(VolumeIds=[cell.facts["volume"]])["Volumes"]
    assert volume["Size"] == 40


NEWER = {
    "aws_fleet_kms_key_arn": KEY,
    "aws_fleet_readers_min": 2,
    "aws_fleet_readers_max": 3,
    "aws_fleet_reader_drain_seconds": 0,
    "aws_fleet_data_volume_size": 40,
    "aws_fleet_default_instance_warmup": 0,
    "aws_fleet_refresh_warmup": 0,
    "aws_fleet_instance_type": "r7i.large",
}


@pytest.mark.long
def test_7_until_they_are_replaced_instances_and_new_ones_are_the_old_type(cell):
    before = {name: cell.group(name)["LaunchTemplate"]["Version"] for name in (READER, WRITER)}
    cell.run(**NEWER)
    assert cell.code == 0, cell.output
    older = cell.said.partition("Older instances")[2]
    for name in before:
        assert all(instance["InstanceId"] in older for instance in cell.group(name)["Instances"])
    cell.api.client("autoscaling").set_desired_capacity(AutoScalingGroupName=READER, DesiredCapacity=3)
    assert {instance["InstanceType"] for instance in cell.group(READER)["Instances"]} == {"m7i.large"}
    assert {name: cell.group(name)["LaunchTemplate"]["Version"] for name in before} == before
    cell.run("--check", **NEWER)
    assert cell.counts == (0, 0, 0, 9)


@pytest.mark.long
def test_7_nobody_replaces_the_writer_by_a_slip(cell):
    cell.run(entry="ask_replacement", **NEWER, aws_fleet_replace="dmeo")
    assert cell.code != 0
    assert '"dmeo" is not the name of the fleet, so nothing was replaced: type demo when you are asked' in cell.said
    for answer in ({"aws_fleet_replace": "demo"}, {"aws_fleet_writer_replacement": "allow"}):
        assert cell.run(entry="ask_replacement", **NEWER, **answer).code == 0, cell.output
    cell.run(entry="replace_writer", **NEWER, aws_fleet_writer_replacement="forbid")
    assert (cell.code, cell.writes) == (0, [])


@pytest.mark.long
def test_7_an_alarm_brings_the_old_type_back(cell):
    _probe.ringing_alarm(cell.api.client, "errors")
    cell.run(entry="replace_readers", **NEWER, aws_fleet_refresh_alarms=["errors"])
    assert cell.code != 0
    assert "has the status RollbackSuccessful: Alarm errors is in ALARM state." in cell.said
    assert {instance["InstanceType"] for instance in cell.group(READER)["Instances"]} == {"m7i.large"}
    cell.api.client("cloudwatch").delete_alarms(AlarmNames=["errors"])


@pytest.mark.long
def test_7_instances_of_another_type_take_their_places(cell):
    cell.run("--check", entry="replace_readers", **NEWER)
    assert (cell.code, cell.writes) == (0, [])
    assert "changed=1" in cell.output
    for entry, group in (("replace_readers", READER), ("replace_writer", WRITER)):
        before = {instance["InstanceId"] for instance in cell.group(group)["Instances"]}
        cell.run(entry=entry, **NEWER)
        assert cell.code == 0, cell.output
        after = cell.group(group)["Instances"]
        assert len(after) == len(before)
        assert not before & {instance["InstanceId"] for instance in after}
        assert {instance["InstanceType"] for instance in after} == {"r7i.large"}
        assert "Replaced" in cell.said
        cell.run(entry=entry, **NEWER)
        assert (cell.code, cell.writes) == (0, [])
        assert "changed=0" in cell.output
    cell.run(**NEWER)
    assert cell.code == 0, cell.output
    assert "Older instances" not in cell.said


@pytest.mark.long
def test_8_destroy_without_the_data(cell):
    volume = cell.facts["volume"]
    cell.run("--check", entry="destroy")
    assert cell.writes == []
    assert cell.counts[2] == 2 + 2 + 4 + 1  # groups, launch templates, instances, the volume
    cell.run(entry="destroy", aws_fleet_delete_data_volumes=False)
    assert cell.code == 0, cell.output
    assert cell.api.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert cell.api.client("ec2").describe_launch_templates()["LaunchTemplates"] == []
    assert f"Kept data volume {volume}" in cell.said


@pytest.mark.long
def test_9_destroy_the_rest(cell):
    cell.run(entry="destroy")
    assert cell.code == 0, cell.output
    assert cell.writes == ["CreateSnapshot", "DeleteVolume"]
    (kept,) = cell.api.client("ec2").describe_snapshots(Filters=[{"Name": "tag:chromafleet:cell", "Values": ["main"]}])[
        "Snapshots"
    ]
    assert f"Kept data snapshot {kept['SnapshotId']}" in cell.said


@pytest.mark.long
def test_a_destroy_again_does_nothing(cell):
    cell.run(entry="destroy")
    assert cell.code == 0, cell.output
    assert cell.writes == []
    assert "changed=0" in cell.output


@pytest.mark.long
def test_b_another_cells_volume_goes_without_a_snapshot(cell):
    tags = [{"Key": "chromafleet:fleet", "Value": "demo"}, {"Key": "chromafleet:cell", "Value": "other"}]
    specification = [{"ResourceType": "volume", "Tags": tags}]
    cell.api.client("ec2").create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=specification)
    cell.run(entry="destroy", aws_fleet_final_snapshot=False)
    assert cell.code == 0, cell.output
    assert cell.writes == ["DeleteVolume"]
    assert "Kept data" not in cell.output


# --- Instances that don't come ---------------------------------------------------------------------------------------

MISSING = {
    "a quota": (
        [
            {
                "auto_scaling_group_name": READER,
                "status_message": "You have requested more vCPU capacity than your limit.",
            }
        ],
        (
            "After 600 seconds 1 of 4 instances of the groups demo-main-writer and demo-main-reader are in service. "
            "AWS says of demo-main-reader: You have requested more vCPU capacity than your limit."
        ),
    ),
    "nothing failed": (
        [],
        (
            "are in service. No activity of the groups failed: AWS still starts them, or ends them for their health; "
            "start the same command again."
        ),
    ),
}


@pytest.mark.parametrize("case", MISSING)
def test_missing_instances_are_told_with_the_reason(play, case):
    activities, sentence = MISSING[case]
    (task,) = [
        task
        for task in yaml.safe_load((ROLE / "tasks/wait.yml").read_text())
        if task["name"] == "Make sure that the instances are there"
    ]
    known = {
        "aws_fleet_name": "demo",
        "aws_fleet_cell": "main",
        "aws_fleet_reader_group": "reader",
        "aws_fleet_wait_timeout": 600,
        "__aws_fleet_wanted_count": 4,
        "__aws_fleet_waited": {"results": [{"instances": [{"instance_id": "i-1", "lifecycle_state": "InService"}]}]},
        "__aws_fleet_activities": {"activities": activities},
    }
    names = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    known |= {
        name: names[name] for name in ("__aws_fleet_base_name", "__aws_fleet_writer_name", "__aws_fleet_reader_name")
    }
    done = play(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": known, "tasks": [task]}]))
    assert done.returncode == 2
    assert sentence in " ".join(done.stdout.split())
