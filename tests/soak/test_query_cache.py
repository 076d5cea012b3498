"""The race of molecule/nginx for minutes, while Valkey is killed, stands still and fills up."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenario import hosts_of

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "molecule/nginx"
SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
HOST = "nginx-debian13"

sys.path.insert(0, str(SCENARIO / "tests"))

from race import Race  # noqa: E402 (found through the line above)


def run(*command: str) -> str:
    """A command's output."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def on_host(command: str) -> str:
    """The output of a shell command on the host."""
    return run("docker", "exec", HOST, "bash", "-c", command)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """nginx before a real Chroma, with a real Valkey."""
    with hosts_of(SCENARIO.name):
        yield "https://" + run("docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", HOST)


VALKEY = "valkey-cli --tls --cacert /srv/valkey/ca.pem -h cache.molecule.test -p 6390 --no-auth-warning"
SAY = f"{VALKEY} -a molecule-valkey-0123456789abcdef CONFIG SET"
KILL = "systemctl kill molecule-valkey --signal"
TROUBLE = {
    "killed": f"{KILL}=KILL; sleep 3; systemctl reset-failed molecule-valkey; systemctl start molecule-valkey",
    "stopped": f"{KILL}=STOP; sleep 5; {KILL}=CONT",
    "full": f"{SAY} maxmemory-policy noeviction && {SAY} maxmemory 1mb && sleep 5 && {SAY} maxmemory 64mb",
    "crowded": f"{SAY} maxmemory-policy allkeys-lru && {SAY} maxmemory 3mb && sleep 5 && {SAY} maxmemory 64mb",
}


def test_no_read_is_older_than_an_acknowledged_write(url: str, pytestconfig: pytest.Config) -> None:
    race = Race(url, writers=4, readers=12)
    with race.running():
        troubles = itertools.cycle(TROUBLE.values())
        for _ in range(0, SECONDS, 20):
            race.over.wait(15)
            on_host(next(troubles))
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{SECONDS} s: {race.outcome}")
    assert race.outcome.stale == []
    assert race.outcome.failed == []
    assert race.outcome.caches["hit"] > 10 * SECONDS
    assert race.outcome.caches["bypass"] > SECONDS
