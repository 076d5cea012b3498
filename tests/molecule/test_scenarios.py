"""The molecule scenarios: one for each host role."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: On which of its hosts a scenario is run each time; two at a time, so the long ones first. In the end-to-end tests all
#: hosts have Debian 13.
EACH_TIME = {
    "nginx": "nginx-debian13",
    "reader": "",  # both of its hosts, a writer and a reader with Debian 12
    "snapshot": "snapshot-debian12",
    "chromadb": "chromadb-debian12",
    "cloudwatch_agent": "cloudwatch-agent-debian13",
    "extra_services": "extra-services-debian12",
}

#: `make demo` goes through the whole of these each time, so that their scenarios run in the long tests only.
IN_DEMO = ("docker", "hardening")


def molecule_test(scenario: str, *arguments: str, **variables: str) -> None:
    """Create, prepare, check, converge, converge again without a change, verify, destroy."""
    command = [Path(sys.executable).with_name("molecule"), "test", "--scenario-name", scenario, *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | variables,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


@pytest.mark.parametrize(("scenario", "host"), EACH_TIME.items())
def test_on_one_host(scenario: str, host: str) -> None:
    molecule_test(scenario, *(["--platform-name", host] if host else []))


@pytest.mark.long
@pytest.mark.parametrize("scenario", [*EACH_TIME, *IN_DEMO])
def test_on_all_hosts(scenario: str) -> None:
    # The scenario with one reader has Debian 12 each time. The tests on the hosts have longer forms too.
    molecule_test(scenario, MOLECULE_READER_DEBIAN="trixie", PYTEST_ADDOPTS="-m ''")


def test_every_host_role_has_a_scenario() -> None:
    host_roles = {path.name for path in ROOT.glob("roles/*") if not path.name.startswith("aws_")} - {
        "fleet",
        "traffic",
    }
    assert host_roles == {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} == {*EACH_TIME, *IN_DEMO}
