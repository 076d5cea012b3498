"""Every molecule scenario, as one test each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str) -> None:
    command = [Path(sys.executable).with_name("molecule"), "test", "--scenario-name", scenario]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def test_every_host_role_has_a_scenario() -> None:
    host_roles = {path.name for path in ROOT.glob("roles/*") if not path.name.startswith("aws_")} - {"fleet"}
    assert host_roles == set(SCENARIOS)
