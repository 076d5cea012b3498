"""Without Docker: one sentence, and nothing made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("verb", ["up", "status", "down"])
def test_no_daemon(verb: str, tmp_path: Path) -> None:
    done = localcloud(verb, tmp_path, DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: Docker does not answer (")
    assert "nothing was changed." in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_no_docker_at_all(tmp_path: Path) -> None:
    done = localcloud("up", tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "The command `docker` is not installed" in done.stderr
    assert done.stderr.count("\n") == 1


def localcloud(verb: str, state: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of the local cloud with a state folder of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "local"),
        "CHROMAFLEET_LOCAL_STATE": str(state / "state"),
        **env,
    }
    command = [sys.executable, "-m", "localcloud", verb]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
