"""Up, down and status of the whole local cloud."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from localcloud import images, instances, network, pki, registry, volumes
from localcloud.aws import client, every
from localcloud.docker import docker, labelled
from localcloud.settings import API_HOST, API_PORT, API_URL, REGISTRY_PORT, state_dir

Say = Callable[[str], None]

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
#: systemd and Docker in an instance take about 7 of them; the default of 128 is for about 15 instances.
INOTIFY_WANTED = 1024


class CloudError(RuntimeError):
    """The local cloud can't do what it was asked."""


def up(say: Say) -> None:
    """Start what isn't running."""
    if alive():
        say(f"the local cloud is up at {API_URL}")
        return
    _free_ports()
    if int(INOTIFY.read_text()) < INOTIFY_WANTED and os.access(INOTIFY, os.W_OK):
        INOTIFY.write_text(str(INOTIFY_WANTED))
    _clean(say)
    images.build(["node", "services", "chroma"], say)
    pki.ensure()
    say("starting the AWS API and the registry")
    _start_daemon()
    registry.start()
    say(f"the local cloud is up: AWS API {API_URL}, registry localhost:{REGISTRY_PORT}, log {_log()}")


def down(say: Say, keep_images: bool = False) -> None:
    """Remove every process, container, network, volume, loop device and file; images too unless they are kept."""
    _clean(say)
    if not keep_images:
        images.remove()
    say("nothing of the local cloud is left" + (" but its images" if keep_images else ""))


def status() -> int:
    """Print a table of what runs; 1 when the API does not answer."""
    if not alive():
        print(f"The local cloud is down ({API_URL} does not answer): start it with `make local-up`.")
        return 1
    rows = [("AWS API", API_URL, f"pid {_pid()}", str(_log()))]
    rows += [("registry", f"localhost:{REGISTRY_PORT}", "", "")]
    containers = set(labelled("container", instance=""))
    for reservation in every("ec2", "describe_instances", "Reservations"):
        for found in reservation["Instances"]:
            if found["State"]["Name"] != "terminated":
                tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
                there = "container" if found["InstanceId"] in containers else "no container yet"
                rows.append(
                    ("instance", found["InstanceId"], f"{found['State']['Name']}, {there}", tags.get("Name", ""))
                )
    for group in every("elbv2", "describe_target_groups", "TargetGroups"):
        for row in client("elbv2").describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
            "TargetHealthDescriptions"
        ]:
            rows.append(("target", row["Target"]["Id"], row["TargetHealth"]["State"], group["TargetGroupName"]))
    for cache in every("elasticache", "describe_replication_groups", "ReplicationGroups"):
        rows.append(("cache", cache["ReplicationGroupId"], cache["Status"], ""))
    print_table(rows)
    return 0


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Columns as wide as they need to be."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def alive() -> bool:
    """Whether the API answers."""
    try:
        client("sts").get_caller_identity()
    except (BotoCoreError, ClientError):
        return False
    return True


def _start_daemon() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with _log().open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "localcloud.daemon"], stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, env=environment, start_new_session=True)  # fmt: skip
    (state_dir() / "pid").write_text(str(process.pid))
    deadline = time.monotonic() + 60
    while not alive():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(_log().read_text().splitlines()[-5:])
            raise CloudError(f"The AWS API did not start; the end of {_log()} says:\n{tail}")
        time.sleep(0.2)


def _clean(say: Say) -> None:
    if _pid():
        say("stopping the AWS API")
        _stop_daemon()
    for instance in labelled("container", instance=""):
        instances.terminate(instance)
    containers = labelled("container")
    if containers:
        say(f"removing {len(containers)} containers")
        docker("rm", "--force", "--volumes", *containers)
    for name in labelled("network"):
        network.remove(name)
    volumes.sweep(known=set())
    shutil.rmtree(state_dir())


def _stop_daemon() -> None:
    pid = _pid()
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 15
    while _pid():
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _pid() -> int:
    """The daemon's process id, 0 when it does not run."""
    try:
        pid = int((state_dir() / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return 0
    return pid if b"localcloud.daemon" in command else 0


def _log() -> Path:
    return state_dir() / "daemon.log"


def _free_ports() -> None:
    for port, what in ((API_PORT, "the AWS API"), (REGISTRY_PORT, "the registry"), (80, "HTTP"), (443, "HTTPS")):
        with socket.socket() as probe:
            if probe.connect_ex((API_HOST, port)) == 0 and not _pid():
                mine = docker("ps", "--filter", f"publish={port}", "--filter", "label=org.chromafleet.local", "-q")
                if not mine:
                    raise CloudError(
                        f"Port {port} of {API_HOST}, which {what} needs, is in use: find who with `ss -tlnp`, "
                        "stop it, then start again."
                    )
