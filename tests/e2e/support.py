"""What the end-to-end tests share: commands, the local API, the fleet's secrets."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx

ROOT = Path(__file__).parents[2]
CONNECTION = {
    "endpoint_url": "http://127.0.0.1:5500",
    "region_name": "us-east-1",
    "aws_access_key_id": "local",
    "aws_secret_access_key": "local",
}
#: In the long tests; more, for figures of a larger fleet.
READERS = int(os.environ.get("SOAK_READERS", "2"))
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass
class Done:
    """A finished command."""

    code: int
    output: str

    def changed(self) -> dict[str, int]:
        """Host -> changed tasks, of the only PLAY RECAP."""
        return {host: int(changed) for host, _, changed, _, _ in RECAP.findall(self.output)}


def run(*command: str, cwd: Path = ROOT, **env: str) -> Done:
    """Run a command to its end; output and errors together, as a user sees them."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200 + 120 * READERS,
        check=False,
    )
    return Done(done.returncode, done.stdout)


def aws(service: str) -> Any:
    """A boto3 client of the local API."""
    return boto3.client(service, **CONNECTION)


def docker(*args: str) -> str:
    """A docker command's output."""
    return subprocess.run(["docker", *args], capture_output=True, text=True, check=True, timeout=120).stdout.strip()


def writer() -> str:
    """The id of the instance that the writer's group has."""
    groups = aws("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["demo-main-writer"])
    (instance,) = groups["AutoScalingGroups"][0]["Instances"]
    return instance["InstanceId"]


def secret_values() -> list[str]:
    """Every secret of the fleet: API tokens and the cache's password."""
    tokens = json.loads(aws("secretsmanager").get_secret_value(SecretId="chromafleet/demo/tokens")["SecretString"])
    cache = json.loads(aws("secretsmanager").get_secret_value(SecretId="chromafleet/demo/cache")["SecretString"])
    return [token["token"] for token in tokens["tokens"]] + [cache["auth_token"]]


def wait_until(what: str, holds: Callable[[], bool], seconds: float = 60) -> None:
    """Until a condition holds; it says which one never did."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def killed_at(task: str, command: tuple[str, ...], folder: Path) -> str:
    """Start a playbook, kill it with all its children when it begins the task, and return what it had said."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
    said = []
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:  # fmt: skip
        for line in process.stdout:
            said.append(line)
            if line.startswith("TASK [") and task in line:
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


class Writes(threading.Thread):
    """One client that adds records, one after another; what it was told is there must stay."""

    def __init__(self, client: httpx.Client, collection: str, headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.client, self.collection, self.headers = client, collection, headers
        self.acknowledged: list[str] = []
        self.failed: list[int | str] = []
        self.failed_at: list[float] = []
        self.ended = threading.Event()

    def run(self) -> None:
        for number in itertools.count():
            if self.ended.wait(0.02):
                return
            record = {"ids": [f"{time.time()}-{number}"], "embeddings": [[number % 7, 1.0, number % 5]]}
            try:
                answer = self.client.post(f"{self.collection}/add", headers=self.headers, json=record).status_code
            except httpx.HTTPError as error:
                answer = repr(error)
            if answer in (200, 201):
                self.acknowledged += record["ids"]
            else:
                self.failed.append(answer)
                self.failed_at.append(time.time())

    def missing(self) -> set[str]:
        """What was acknowledged and is not there."""
        self.ended.set()
        self.join()
        there: list[str] = []
        for start in range(0, len(self.acknowledged), 500):
            some = {"ids": self.acknowledged[start : start + 500], "include": []}
            there += self.client.post(f"{self.collection}/get", headers=self.headers, json=some).json()["ids"]
        return set(self.acknowledged) - set(there)


class Load:
    """One client that asks for the same thing again and again, on connections that it keeps.

    With a pause of 0.01 s: without one the clients take half of a small machine from what they look at.
    """

    def __init__(self, client: httpx.Client, path: str, headers: dict[str, str]) -> None:
        self.client, self.path, self.headers = client, path, headers
        self.statuses: list[int | str] = []
        self.times: list[float] = []
        self.taken: list[float] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.ask, daemon=True)

    def ask(self) -> None:
        while not self.ended.wait(0.01):
            self.times.append(time.monotonic())
            try:
                self.statuses.append(self.client.get(self.path, headers=self.headers).status_code)
            except httpx.HTTPError as error:
                self.statuses.append(repr(error))
            self.taken.append(time.monotonic() - self.times[-1])

    def stop(self) -> list[int | str]:
        self.ended.set()
        self.thread.join()
        return self.statuses

    def __enter__(self) -> Load:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def files_with(values: Iterable[str], clone: Path) -> str:
    """The controller's files that hold one of the values: in the clone, and where programs leave things."""
    folders = [clone, Path("/tmp"), Path.home() / ".ansible"]  # noqa: S108 (searched, not used)
    command = ["grep", "-rlsF", "--exclude-dir=.venv", "-f", "-", *map(str, folders)]
    values = "\n".join(values)
    return subprocess.run(command, input=values, capture_output=True, text=True, check=False).stdout
