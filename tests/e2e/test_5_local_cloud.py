"""The local cloud follows the API: instances and load balancer, beside the fleet of the demo."""

from __future__ import annotations

import concurrent.futures
import subprocess
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from support import Done, aws, docker, wait_until

# What the demo needs of it is seen with the demo: a host, its volume, its health and its replacement.
pytestmark = pytest.mark.long

SERVER = """
import http.server, socket, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(self.path.strip("/") or 0))
        body = socket.gethostname().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def target_group(demo: Done) -> Iterator[str]:
    """A group `probe` of two instances behind a load balancer: the target group's ARN."""
    ec2, elb, scaling = aws("ec2"), aws("elbv2"), aws("autoscaling")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.77.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    ec2.create_launch_template(
        LaunchTemplateName="probe",
        LaunchTemplateData={"ImageId": ec2.describe_images()["Images"][0]["ImageId"], "InstanceType": "t3.micro"},
    )
    group = elb.create_target_group(
        Name="probe", Protocol="HTTP", Port=8080, VpcId=vpc, HealthCheckPath="/", HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2, UnhealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
    balancer = elb.create_load_balancer(Name="probe", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    elb.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="probe", LaunchTemplate={"LaunchTemplateName": "probe"}, MinSize=0, MaxSize=4,
        DesiredCapacity=2, VPCZoneIdentifier=",".join(subnets), TargetGroupARNs=[group],
    )  # fmt: skip
    serve_on_every_instance()
    yield group
    scaling.delete_auto_scaling_group(AutoScalingGroupName="probe", ForceDelete=True)
    for listener in elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]:
        elb.delete_listener(ListenerArn=listener["ListenerArn"])
    elb.delete_load_balancer(LoadBalancerArn=balancer)
    elb.delete_target_group(TargetGroupArn=group)
    ec2.delete_launch_template(LaunchTemplateName="probe")
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    wait_until("its network is gone", lambda: vpc not in docker("network", "ls"))
    wait_until("the load balancer is gone", lambda: "probe" not in docker("ps", "--format", "{{.Names}}"))


def members() -> list[str]:
    """Ids of the group's instances."""
    found = aws("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["probe"])["AutoScalingGroups"][0]
    return sorted(instance["InstanceId"] for instance in found["Instances"])


def url() -> str:
    """Where the load balancer listens: each has a loopback address of its own."""
    return f"http://{docker('port', 'chromafleet-local-balancer-probe', '80/tcp')}"


def containers() -> set[str]:
    """Names of the containers of all instances that run."""
    return set(docker("ps", "--filter", "label=org.chromafleet.local.instance", "--format", "{{.Names}}").split())


def serve_on_every_instance() -> None:
    """Start the probe's server where it does not run yet."""
    for instance in members():
        wait_until(f"{instance} runs", lambda instance=instance: instance in containers())
        if "8080" not in docker("exec", instance, "ss", "-tln"):
            docker("exec", "--detach", instance, "python3", "-c", SERVER)


def states(group: str) -> dict[str, str]:
    """Target id -> state, as the API tells it."""
    health = aws("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {row["Target"]["Id"]: row["TargetHealth"]["State"] for row in health}


def healthy(group: str) -> None:
    """Wait until the group's members, and they alone, are healthy targets."""
    wait_until("all are healthy", lambda: states(group) == dict.fromkeys(members(), "healthy"))


def hosts_answering(requests: int = 12) -> Counter[str]:
    """Which hosts answer, and how often."""
    return Counter(httpx.get(f"{url()}/").text for _ in range(requests))


def host_name(instance: str) -> str:
    """An instance's own name."""
    return docker("exec", instance, "hostname")


def slow_requests(seconds: int, group: str, then: str) -> list[str]:
    """Four requests at once, half of them on each target; one target is deregistered while they are under way."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = [pool.submit(answer, f"{url()}/{seconds}") for _ in range(4)]
        wait_until("the requests are under way", lambda: connections(then) >= 2)
        aws("elbv2").deregister_targets(TargetGroupArn=group, Targets=[{"Id": then, "Port": 8080}])
        wait_until("it is draining", lambda: states(group).get(then) == "draining")
        return [future.result() for future in running]


def answer(address: str) -> str:
    """The answering host's name, or `cut` when the load balancer ended the request (a 502, or no answer at all)."""
    try:
        got = httpx.get(address, timeout=20)
    except httpx.RemoteProtocolError:
        return "cut"
    return got.text if got.status_code == 200 else "cut"


def connections(instance: str) -> int:
    """Connections to the probe's server of an instance."""
    return len(docker("exec", instance, "ss", "-tHn", "state", "established", "sport", "=", ":8080").splitlines())


def delay(group: str, seconds: int) -> None:
    """Set the deregistration delay."""
    attribute = {"Key": "deregistration_delay.timeout_seconds", "Value": str(seconds)}
    aws("elbv2").modify_target_group_attributes(TargetGroupArn=group, Attributes=[attribute])


def test_instances_have_the_addresses_of_the_api(target_group: str) -> None:
    for instance in members():
        found = aws("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        assert found["PrivateIpAddress"] in docker("exec", instance, "hostname", "-I").split()
    healthy(target_group)
    assert len(hosts_answering()) == 2


def test_requests_under_way_outlive_a_deregistration(target_group: str) -> None:
    healthy(target_group)
    delay(target_group, 20)
    leaving, staying = members()
    answers = slow_requests(4, target_group, leaving)
    assert Counter(answers) == {host_name(leaving): 2, host_name(staying): 2}
    assert set(hosts_answering()) == {host_name(staying)}
    wait_until("it is drained", lambda: states(target_group) == {staying: "healthy"})
    register(target_group, leaving)


def test_the_deregistration_delay_ends_them(target_group: str) -> None:
    healthy(target_group)
    delay(target_group, 1)
    leaving, staying = members()
    answers = slow_requests(8, target_group, leaving)
    assert Counter(answers) == {host_name(staying): 2, "cut": 2}
    register(target_group, leaving)


def test_a_target_that_fails_is_unhealthy_and_gets_no_request(target_group: str) -> None:
    healthy(target_group)
    failing, staying = members()
    docker("exec", failing, "pkill", "-f", "http.server")
    wait_until("it is unhealthy", lambda: states(target_group)[failing] == "unhealthy")
    assert set(hosts_answering()) == {host_name(staying)}
    serve_on_every_instance()
    healthy(target_group)


def test_scaling_out_and_in(target_group: str) -> None:
    scaling = aws("autoscaling")
    scaling.set_desired_capacity(AutoScalingGroupName="probe", DesiredCapacity=3)
    serve_on_every_instance()
    healthy(target_group)
    assert len(hosts_answering()) == 3
    before = set(members())
    scaling.set_desired_capacity(AutoScalingGroupName="probe", DesiredCapacity=1)
    wait_until("two are gone", lambda: containers() & before == set(members()))
    wait_until("one is left", lambda: states(target_group) == dict.fromkeys(members(), "healthy"))


def test_a_volume_outlives_its_instance_and_is_never_in_two(target_group: str) -> None:
    ec2, scaling = aws("ec2"), aws("autoscaling")
    scaling.set_desired_capacity(AutoScalingGroupName="probe", DesiredCapacity=2)
    first, second = members()
    wait_until("both run", lambda: {first, second} <= containers())
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    device = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}"

    def there(instance: str) -> bool:
        return subprocess.run(["docker", "exec", instance, "test", "-b", device], check=False).returncode == 0

    ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    wait_until("the device is there", lambda: there(first))
    # The raw device carries the word: a file system would need a package that the image does not have.
    docker("exec", first, "sh", "-ec", f"printf written | dd of={device} conv=fsync status=none")
    ec2.detach_volume(VolumeId=volume)
    ec2.attach_volume(VolumeId=volume, InstanceId=second, Device="/dev/sdf")
    wait_until("the device has moved", lambda: there(second) and not there(first))
    assert docker("exec", second, "head", "-c", "7", device) == "written"
    scaling.terminate_instance_in_auto_scaling_group(InstanceId=second, ShouldDecrementDesiredCapacity=True)
    ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    wait_until("the device is back", lambda: there(first))
    assert docker("exec", first, "head", "-c", "7", device) == "written"
    ec2.detach_volume(VolumeId=volume)
    ec2.delete_volume(VolumeId=volume)
    wait_until("its file is gone", lambda: volume not in docker("volume", "ls", "--quiet"))


def register(group: str, instance: str) -> None:
    """Put a target back."""
    aws("elbv2").register_targets(TargetGroupArn=group, Targets=[{"Id": instance, "Port": 8080}])
