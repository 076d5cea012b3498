"""The writer is lost; a run that replaces it is killed twice; the data is all there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
from support import Done, aws, docker, run, secret_values, writer

COUNT = "/api/v2/tenants/default_tenant/databases/default_database/collections/{}/count"
SITE = ("ansible-playbook", "-i", "inventories/local", "site.yml", "-vvv")


def killed_at(task: str, folder: Path) -> str:
    """Start site.yml, kill it with all its children when it begins the task, and return what it had said."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
    said = []
    with subprocess.Popen(SITE, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:  # fmt: skip
        for line in process.stdout:
            said.append(line)
            if line.startswith("TASK [") and task in line:
                time.sleep(0.5)  # into the task, whatever it is just doing
                os.killpg(process.pid, signal.SIGKILL)
                break
        else:
            raise AssertionError(f"no task {task!r} in:\n{''.join(said)[-3000:]}")
    return "".join(said)


class Processes(threading.Thread):
    """Every command line that this machine has, its containers included, several times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue


def test_a_lost_writer_is_replaced_with_its_data(
    demo: Done, clone: Path, http: httpx.Client, bearer: dict[str, str]
) -> None:
    (collection,) = http.get(COUNT.split("/{}")[0], headers=bearer).json()
    count = COUNT.format(collection["id"])
    before = http.get(count, headers=bearer).json()
    assert before > 900
    lost, volume = writer(), data_volume()
    docker("exec", lost, "true")

    aws("autoscaling").terminate_instance_in_auto_scaling_group(InstanceId=lost, ShouldDecrementDesiredCapacity=False)
    assert writer() != lost
    watch = Processes()
    watch.start()
    said = killed_at("aws_fleet : Attach the data volume", clone)
    said += killed_at("docker : Install Docker", clone)
    done = run(*SITE, cwd=clone)
    watch.stop.set()
    watch.join()
    assert done.code == 0, done.output[-3000:]
    said += done.output

    assert data_volume() == volume
    assert http.get(count, headers=bearer).json() == before
    assert http.get("/ready").status_code == 200
    answer = http.post(
        count.replace("/count", "/get"),
        headers=bearer,
        json={"ids": ["amazon.aws.ec2_vpc_net"], "include": ["embeddings"]},
    )
    assert len(answer.json()["embeddings"][0]) == 256

    for secret in secret_values():
        assert secret not in said
        assert not [line for line in watch.seen if secret.encode() in line]
    assert any(b"ansible-playbook" in line for line in watch.seen)


def test_then_nothing_is_left_to_do(demo: Done, clone: Path) -> None:
    done = run(*SITE[:-1], cwd=clone)
    assert done.code == 0
    assert set(done.changed().values()) == {0}


def data_volume() -> tuple[str, str]:
    """The data volume's id, and that it is attached to the writer."""
    (volume,) = aws("ec2").describe_volumes(
        Filters=[
            {"Name": "tag:chromafleet:fleet", "Values": ["demo"]},
            {"Name": "tag:chromafleet:role", "Values": ["data"]},
        ]
    )["Volumes"]
    assert volume["Attachments"][0]["InstanceId"] == writer()
    return volume["VolumeId"], volume["AvailabilityZone"]
