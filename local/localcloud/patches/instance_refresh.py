"""EC2 Auto Scaling: instances know the version of the launch template that they came from, and are replaced by it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling import models, responses
from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.responses import ActionResult
from moto.ec2.models import instances

from localcloud.patches import Client, _probe, restores
from localcloud.patches.elbv2 import TARGET_HEALTH

#: Seconds between two looks at a refresh.
LOOK = 1.0
ACTIVE = {"Pending", "InProgress", "RollbackInProgress"}


@restores("An instance keeps the number of the launch template's version that its group had when it started")
def launched_version() -> None:
    stock_init = models.InstanceState.__init__
    stock_property = models.InstanceState.launch_template
    stock_run = instances.InstanceBackend.run_instances

    def init(self: Any, *args: Any, **more: Any) -> None:
        stock_init(self, *args, **more)
        self.launched_version = version_number(self.auto_scaling_group)

    def launch_template(self: Any) -> dict[str, Any] | None:
        found = stock_property.fget(self)
        return found and {**found, "Version": self.launched_version}

    def run_instances(self: Any, *args: Any, **more: Any) -> Any:
        name = more.get("tags", {}).get("instance", {}).get(models.ASG_NAME_TAG)
        template = more.get("launch_template")
        if name and template and "Version" not in template:
            group = models.autoscaling_backends[self.account_id][self.region_name].autoscaling_groups.get(name)
            if group:
                more["launch_template"] = {**template, "Version": version_number(group)}
        return stock_run(self, *args, **more)

    models.InstanceState.__init__ = init
    models.InstanceState.launch_template = property(launch_template)
    instances.InstanceBackend.run_instances = run_instances


@launched_version.shown_by
def _launched_version(client: Client) -> bool:
    template = _probe.launch_template(client)
    _probe.group(client, 1, template=template)
    _next_version(client, template)
    client("autoscaling").set_desired_capacity(AutoScalingGroupName="probe", DesiredCapacity=2)
    found = {made["LaunchTemplate"]["Version"]: made["InstanceType"] for made in _probe.instances(client)}
    return found == {"1": "t3.micro", "2": "t3.small"}


def version_number(group: Any) -> str | None:
    """The version with which the group starts instances now."""
    if group is None or group.ec2_launch_template is None:
        return None
    return str(group.ec2_launch_template.get_version(group.launch_template_version).number)


class RefreshInProgressError(AutoscalingClientError):
    """AWS refreshes one thing at a time."""

    code = "InstanceRefreshInProgress"
    message = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."


class NoActiveRefreshError(AutoscalingClientError):
    """There is nothing to stop."""

    code = "ActiveInstanceRefreshNotFound"
    message = "No in progress or pending Instance Refresh found"


class Refresh:
    """Replaces a group's instances one by one; back again where one does not become healthy.

    Each new one comes first where all must stay healthy, and else an old one goes first.
    """

    def __init__(self, group: Any, desired: dict[str, Any], preferences: dict[str, Any]) -> None:
        self.group, self.desired, self.preferences = group, desired, preferences
        self.id = str(uuid.uuid4())
        self.status, self.reason = "Pending", ""
        self.started, self.ended = datetime.now(UTC), None
        self.before = group.launch_template_version
        template = desired.get("LaunchTemplate") or desired.get("MixedInstancesPolicy", {}).get(
            "LaunchTemplate", {}
        ).get("LaunchTemplateSpecification", {})
        self.wanted = template.get("Version", self.before)
        #: The new instance that has to become healthy, and since when.
        self.joining: tuple[Any, float] | None = None
        self.leaving: Any = None
        self.count = len(self.behind())

    def describe(self) -> dict[str, Any]:
        """As DescribeInstanceRefreshes tells it."""
        left = len(self.behind())
        return {
            "InstanceRefreshId": self.id,
            "AutoScalingGroupName": self.group.name,
            "Status": self.status,
            "StatusReason": self.reason or None,
            "StartTime": self.started,
            "EndTime": self.ended,
            "PercentageComplete": 100 * max(self.count - left, 0) // self.count if self.count else 100,
            "InstancesToUpdate": left,
            "Preferences": self.preferences,
            "DesiredConfiguration": self.desired,
            "Strategy": "Rolling",
        }

    def follow(self) -> None:
        """Until it has ended."""
        while self.status in ACTIVE:
            try:
                self.step()
            except KeyError:  # the group is gone, or what belongs to it
                self.end("Failed", f"Group {self.group.name} was deleted.")
            time.sleep(LOOK)

    def step(self) -> None:
        """Do what can be done now."""
        if self.status == "Pending":
            self.status = "InProgress"
        alarm = self.status == "InProgress" and self.ringing()
        if alarm:
            self.turn_back(f"Alarm {alarm} is in ALARM state.")
        elif self.leaving:
            self.let_go()
        elif self.joining:
            self.look_at_new()
        elif behind := self.behind():
            if self.is_whole() and self.least_healthy() >= 100:
                self.launch()
            else:
                self.retire(behind[0])
        else:
            self.finish()

    def behind(self) -> list[Any]:
        """Those that were started with another version than the wanted one."""
        wanted = str(self.group.ec2_launch_template.get_version(self.wanted).number)
        return [state for state in self.group.instance_states if state.launched_version != wanted]

    def is_whole(self) -> bool:
        """Whether it has no instance beyond those that are wanted."""
        return len(self.group.instance_states) <= self.group.desired_capacity

    def least_healthy(self) -> int:
        """Percent: the preference, or what the group says, or AWS's default."""
        policy = getattr(self.group, "instance_maintenance_policy", None) or {}
        return self.preferences.get("MinHealthyPercentage", policy.get("MinHealthyPercentage", 90))

    def launch(self) -> None:
        """Start a new instance."""
        there = set(self.group.instance_states)
        tags = {tag["Key"]: tag["Value"] for tag in self.group.tags if tag.get("PropagateAtLaunch")}
        with self.configured(self.wanted):
            self.group.replace_autoscaling_group_instances(1, tags)
        (new,) = set(self.group.instance_states) - there
        self.joining = (new, time.monotonic())

    def look_at_new(self) -> None:
        """Go on when the new one serves, or back when it never does."""
        new, since = self.joining
        age = time.monotonic() - since
        warmup = self.preferences.get("InstanceWarmup", getattr(self.group, "default_instance_warmup", None) or 0)
        if all(self.health(arn, new) in ("healthy", "unused") for arn in self.group.target_group_arns):
            if age >= warmup:
                self.joining = None
                if not self.is_whole():
                    self.retire(self.behind()[0])
        elif age > (self.group.health_check_grace_period or 0):
            self.joining = None
            self.turn_back(f"Instance {new.instance.id} did not become healthy: ELB health checks failed.")

    def retire(self, old: Any) -> None:
        """Take an old one out of the target groups."""
        for arn in self.group.target_group_arns:
            target_group = self.group.autoscaling_backend.elbv2_backend.target_groups[arn]
            target_group.deregister(
                [target for target in target_group.targets.values() if target["Id"] == old.instance.id]
            )
        self.leaving = old

    def let_go(self) -> None:
        """Terminate the old one when no request of it is under way."""
        if any(self.health(arn, self.leaving) == "draining" for arn in self.group.target_group_arns):
            return
        there = set(self.group.instance_states)
        with self.configured(self.wanted):
            self.group.autoscaling_backend.terminate_instance(self.leaving.instance.id, should_decrement=False)
        self.leaving = None
        if new := set(self.group.instance_states) - there:
            self.joining = (new.pop(), time.monotonic())

    def health(self, arn: str, state: Any) -> str:
        """What a target group's load balancer finds."""
        if not TARGET_HEALTH:  # no load balancer follows this API
            return "healthy"
        found = self.group.autoscaling_backend.elbv2_backend.describe_target_health(arn, [])
        return next((target.status for target in found if target.instance_id == state.instance.id), "gone")

    def ringing(self) -> str:
        """The name of an alarm that rings, of those that were given."""
        backend = self.group.autoscaling_backend
        alarms = cloudwatch_backends[backend.account_id][backend.region_name].alarms
        names = self.preferences.get("AlarmSpecification", {}).get("Alarms", [])
        return next((name for name in names if name in alarms and alarms[name].state_value == "ALARM"), "")

    def turn_back(self, reason: str) -> None:
        """End, or begin the way back."""
        self.joining = None
        if self.status == "RollbackInProgress":
            self.end("RollbackFailed", reason)
        elif self.preferences.get("AutoRollback"):
            self.roll_back(reason)
        else:
            self.end("Failed", reason)

    def roll_back(self, reason: str) -> None:
        """Replace what was replaced by the version from before."""
        self.status, self.reason = "RollbackInProgress", reason
        self.wanted = self.before

    def finish(self) -> None:
        """All are what they shall be."""
        if self.status == "InProgress":
            self.configure(self.wanted)
        self.end("Successful" if self.status == "InProgress" else "RollbackSuccessful", self.reason)

    def end(self, status: str, reason: str) -> None:
        """It is over."""
        self.status, self.reason, self.ended = status, reason, datetime.now(UTC)

    @contextmanager
    def configured(self, version: str) -> Iterator[None]:
        """The group as it starts instances meanwhile."""
        kept = self.group.launch_template_version
        self.group.launch_template_version = version
        try:
            yield
        finally:
            self.group.launch_template_version = kept

    def configure(self, version: str) -> None:
        """Have the group start instances with this version."""
        group = self.group
        group.launch_template_version = group.provided_launch_template_version = version
        if group.mixed_instances_policy:
            policy = self.desired.get("MixedInstancesPolicy") or group.mixed_instances_policy
            policy["LaunchTemplate"]["LaunchTemplateSpecification"]["Version"] = version
            group.mixed_instances_policy = policy


@restores(
    "A group's instances can be replaced, and come back when an alarm rings: the calls of instance refreshes exist"
)
def instance_refresh() -> None:
    def group_of(self: Any) -> Any:
        name = self._get_param("AutoScalingGroupName")
        if name not in self.autoscaling_backend.autoscaling_groups:
            raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        group = self.autoscaling_backend.autoscaling_groups[name]
        if not hasattr(group, "refreshes"):
            group.refreshes = []
        return group

    def active(group: Any) -> Any:
        return next((refresh for refresh in group.refreshes if refresh.status in ACTIVE), None)

    def start(self: Any) -> ActionResult:
        group = group_of(self)
        given = self._get_params()
        preferences = given.get("Preferences", {})
        if active(group):
            raise RefreshInProgressError
        if preferences.get("AutoRollback") and str(group.launch_template_version).startswith("$"):
            raise ValidationError(
                "The AutoRollback parameter cannot be set to true when the launch template's version is "
                f"{group.launch_template_version}."
            )
        refresh = Refresh(group, given.get("DesiredConfiguration", {}), preferences)
        group.refreshes.insert(0, refresh)
        threading.Thread(target=refresh.follow, name=f"refresh of {group.name}", daemon=True).start()
        return ActionResult({"InstanceRefreshId": refresh.id})

    def describe(self: Any) -> ActionResult:
        wanted = self._get_param("InstanceRefreshIds", [])
        found = [refresh for refresh in group_of(self).refreshes if not wanted or refresh.id in wanted]
        return ActionResult({"InstanceRefreshes": [refresh.describe() for refresh in found]})

    def cancel(self: Any) -> ActionResult:
        refresh = active(group_of(self))
        if not refresh:
            raise NoActiveRefreshError
        refresh.end("Cancelled", "Cancelled due to user request.")
        return ActionResult({"InstanceRefreshId": refresh.id})

    def rollback(self: Any) -> ActionResult:
        refresh = active(group_of(self))
        if not refresh:
            raise NoActiveRefreshError
        refresh.joining = None
        refresh.roll_back("Rollback due to user request.")
        return ActionResult({"InstanceRefreshId": refresh.id})

    calls = responses.AutoScalingResponse
    calls.start_instance_refresh = start
    calls.describe_instance_refreshes = describe
    calls.cancel_instance_refresh = cancel
    calls.rollback_instance_refresh = rollback


def _next_version(client: Client, template: str) -> None:
    client("ec2").create_launch_template_version(
        LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.small"}
    )


def _refresh(client: Client, template: str, version: str, **preferences: Any) -> tuple[dict[str, Any], set[str]]:
    """How a refresh to a version ended, and the versions of the group and its instances then."""
    scaling = client("autoscaling")
    scaling.start_instance_refresh(
        AutoScalingGroupName="probe",
        DesiredConfiguration={"LaunchTemplate": {"LaunchTemplateId": template, "Version": version}},
        Preferences={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150, "InstanceWarmup": 0, **preferences},
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = scaling.describe_instance_refreshes(AutoScalingGroupName="probe")["InstanceRefreshes"][0]
        if found["Status"] not in ACTIVE:
            break
        time.sleep(0.2)
    group = scaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]
    versions = [made["LaunchTemplate"]["Version"] for made in group["Instances"]]
    return found, {*versions, f"group {group['LaunchTemplate']['Version']}", f"{len(versions)} instances"}


@instance_refresh.shown_by
def _instance_refresh(client: Client) -> bool:
    """All are replaced; and with an alarm that rings they come back."""
    template = _probe.launch_template(client)
    _probe.group(client, 2, template=template)
    client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName="probe", LaunchTemplate={"LaunchTemplateId": template, "Version": "1"}
    )
    _next_version(client, template)
    _probe.ringing_alarm(client)
    guarded = {"AutoRollback": True, "AlarmSpecification": {"Alarms": ["probe"]}}
    back, then = _refresh(client, template, "2", **guarded)
    done, now = _refresh(client, template, "2")
    return (
        (back["Status"], "probe" in back["StatusReason"], then)
        == ("RollbackSuccessful", True, {"1", "group 1", "2 instances"})
        and (done["Status"], done["PercentageComplete"]) == ("Successful", 100)
        and now == {"2", "group 2", "2 instances"}
    )
