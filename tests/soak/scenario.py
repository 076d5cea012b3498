"""The hosts of a molecule scenario, for the long proofs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def hosts_of(scenario: str) -> Iterator[None]:
    """Hosts that were made anew, and are gone afterwards; with SOAK_KEPT_HOST those that are there."""
    if os.environ.get("SOAK_KEPT_HOST"):
        yield
        return
    for step in ("destroy", "create", "prepare", "converge"):
        _molecule(step, scenario)
    yield
    _molecule("destroy", scenario)


def _molecule(step: str, scenario: str) -> None:
    command = [Path(sys.executable).with_name("molecule"), step, "--scenario-name", scenario]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
