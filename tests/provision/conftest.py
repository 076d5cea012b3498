"""Whole environments against an AWS API of their own: no instance runs, everything else is as with AWS."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_api import ROOT, LocalApi, local_api

STATE = Path(os.environ.get("CHROMAFLEET_LOCAL_STATE", Path.home() / ".local/state/chromafleet-local"))
START = """
from localcloud import images, pki, registry
images.build(["services", "chroma"], print)
pki.ensure()
registry.start()
"""


@pytest.fixture(scope="session")
def authority() -> Path:
    """The certificate of the local authority, once the registry that it signed for serves at localhost:5443.

    The tests run in several processes, and the registry is one container.
    """
    with local_api() as api, (Path(tempfile.gettempdir()) / "chromafleet-registry.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "local"),
            "CHROMAFLEET_LOCAL_API_PORT": api.url.rpartition(":")[2],
        }
        subprocess.run([sys.executable, "-c", START], env=environment, check=True, capture_output=True, timeout=300)
    return STATE / "pki/ca.pem"


@pytest.fixture(scope="module")
def api() -> Iterator[LocalApi]:
    """An empty account."""
    with local_api() as served:
        yield served
