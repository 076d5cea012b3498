"""Who is out of service, who comes back, and who can't be spared; under load it is in tests/e2e/test_3_rolling.py."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import boto3
import pytest
import yaml
from localcloud.patches import instance_refresh

FLEET = "traffic"
REGION = "us-east-1"
PROCESSES = ["AZRebalance", "AlarmNotification", "ReplaceUnhealthy", "ScheduledActions"]


@pytest.fixture(scope="module")
def made(moto_api):
    """An auto-scaling group of two instances and its target group."""
    # Of the patches only these: without a load balancer that follows the API, no target would ever be healthy.
    instance_refresh.launched_version.apply()
    instance_refresh.instance_refresh.apply()

    def client(service):
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        return boto3.client(service, endpoint_url=moto_api, region_name=REGION, **keys)

    ec2, elb, asg = client("ec2"), client("elbv2"), client("autoscaling")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    arn = elb.create_target_group(Name=FLEET, Protocol="HTTPS", Port=443, VpcId=vpc)["TargetGroups"][0][
        "TargetGroupArn"
    ]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ec2.create_launch_template(
        LaunchTemplateName=FLEET, LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
    )
    asg.create_auto_scaling_group(
        AutoScalingGroupName=FLEET,
        LaunchTemplate={"LaunchTemplateName": FLEET, "Version": "$Latest"},
        MinSize=2,
        MaxSize=2,
        VPCZoneIdentifier=subnet,
        TargetGroupARNs=[arn],
        Tags=[{"Key": "chromafleet:fleet", "Value": FLEET, "PropagateAtLaunch": True}],
    )

    def group():
        return asg.describe_auto_scaling_groups(AutoScalingGroupNames=[FLEET])["AutoScalingGroups"][0]

    def registered():
        found = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return sorted(one["Target"]["Id"] for one in found if one["TargetHealth"]["State"] == "healthy")

    yield SimpleNamespace(
        url=moto_api,
        asg=asg,
        new_version=lambda: ec2.create_launch_template_version(
            LaunchTemplateName=FLEET, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.small"}
        ),
        instances=sorted(one["InstanceId"] for one in group()["Instances"]),
        registered=registered,
        suspended=lambda: sorted(one["ProcessName"] for one in group()["SuspendedProcesses"]),
    )
    asg.delete_auto_scaling_group(AutoScalingGroupName=FLEET, ForceDelete=True)


@pytest.fixture(scope="module")
def status():
    """What nginx's stub_status says, the number of requests at a time; the port."""

    class Status(BaseHTTPRequestHandler):
        busy = [3, 2, 1]  # noqa: RUF012 - of the class, since each request makes an object

        def do_GET(self):
            writing = self.busy.pop(0) if len(self.busy) > 1 else self.busy[0]
            text = "Active connections: 9 \nserver accepts handled requests\n 9 9 9 \n"
            text += f"Reading: 0 Writing: {writing} Waiting: 8 \n"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield SimpleNamespace(port=server.server_port, requests=Status.busy)
        server.shutdown()


@pytest.fixture
def traffic(play, made, status):
    """Run entry points of the role for an instance."""
    connection = {"endpoint_url": made.url, "access_key": "local", "secret_key": "local"}

    def run(instance, *entries, code=0):
        tasks = [
            {"ansible.builtin.include_role": {"name": "chromafleet.aws.traffic", "tasks_from": one}} for one in entries
        ]
        text = {
            "hosts": "localhost",
            "gather_facts": False,
            "connection": "local",
            "module_defaults": {
                f"group/{name}.aws": connection for name in ("amazon.aws", "community.aws", "chromafleet.aws")
            },
            "environment": {"AWS_REGION": REGION},
            "vars": {"traffic_fleet": FLEET, "traffic_instance_id": instance, "traffic_status_port": status.port},
            "tasks": tasks,
        }
        done = play(yaml.safe_dump([text]), inventory="localhost,")
        assert done.returncode == code, done.stdout
        return done.stdout

    return run


def test_a_host_leaves_when_it_has_answered_and_comes_back(traffic, made, status):
    one, two = made.instances
    assert made.registered() == [one, two]
    traffic(one, "suspend", "drain")
    assert made.registered() == [two]
    assert made.suspended() == PROCESSES
    assert status.requests == [1]
    traffic(one, "undrain", "resume")
    assert made.registered() == [one, two]
    assert made.suspended() == []


def test_the_last_healthy_one_stays(traffic, made):
    one, two = made.instances
    traffic(one, "drain")
    said = traffic(two, "drain")
    assert made.registered() == [two]
    assert "stays in service, since no other host of its target group is healthy" in " ".join(said.split())
    traffic(one, "undrain")


def test_what_a_killed_run_left_is_put_back(traffic, made):
    traffic(made.instances[0], "suspend", "drain")
    said = traffic("", "settle")
    assert made.registered() == made.instances
    assert made.suspended() == []
    assert "changed=2" in said
    assert "changed=0" in traffic("", "settle")


def test_what_aws_takes_out_of_service_is_not_put_back(traffic, made):
    template = {"LaunchTemplateName": FLEET, "Version": "1"}
    made.asg.update_auto_scaling_group(AutoScalingGroupName=FLEET, LaunchTemplate=template, MaxSize=3)
    made.new_version()
    made.asg.start_instance_refresh(
        AutoScalingGroupName=FLEET,
        DesiredConfiguration={"LaunchTemplate": {**template, "Version": "2"}},
        Preferences={"InstanceWarmup": 600, "MinHealthyPercentage": 100, "MaxHealthyPercentage": 150},
    )
    said = " ".join(traffic("", "settle", code=2).split())
    made.asg.cancel_instance_refresh(AutoScalingGroupName=FLEET)
    assert f"Instances of {FLEET} are being replaced (" in said
    assert "playbooks/replace_instances.yml waits until that has ended" in said
    traffic("", "settle")
