"""The local cloud as a user has it: made by `make demo` in a clean clone, gone after `make local-down`."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support import ROOT, Done, run, secret_values


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clean clone of what is committed; the local cloud that it starts is gone afterwards.

    E2E_CLONE=<folder>, for whoever works on a test: one whose local cloud is up already, and stays.
    """
    if kept := os.environ.get("E2E_CLONE"):
        yield Path(kept)
        return
    folder = tmp_path_factory.mktemp("clone") / "aws"
    assert run("make", "local-down").code == 0
    assert run("git", "clone", "--quiet", str(ROOT), str(folder)).code == 0
    yield folder
    run("make", "local-down", cwd=folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def demo(clone: Path, pytestconfig: pytest.Config) -> Done:
    """`make demo` from nothing; its output is shown, since it is what a new user reads."""
    if os.environ.get("E2E_CLONE"):
        return Done(0, "")
    done = run("make", "demo", cwd=clone, PATH=os.environ["PATH"].replace(f"{ROOT}/.venv/bin:", ""))
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(done.output)
    assert done.code == 0, done.output[-3000:]
    return done


def client_of(endpoint: str) -> httpx.Client:
    """A client without a token."""
    state = Path(os.environ.get("CHROMAFLEET_LOCAL_STATE", Path.home() / ".local/state/chromafleet-local"))
    trusted = ssl.create_default_context(cafile=state / "pki/ca.pem")
    return httpx.Client(base_url=f"https://{endpoint}", verify=trusted, timeout=30)


@pytest.fixture
def http(demo: Done) -> Iterator[httpx.Client]:
    """A client of the fleet endpoint without a token."""
    with client_of("chroma.localhost") as client:
        yield client


@pytest.fixture
def read_http(demo: Done) -> Iterator[httpx.Client]:
    """A client of the reader endpoint without a token."""
    with client_of("read.chroma.localhost") as client:
        yield client


@pytest.fixture
def bearer() -> dict[str, str]:
    """The header with the fleet's token."""
    return {"Authorization": f"Bearer {secret_values()[0]}"}


@pytest.fixture
def with_readers(demo: Done, clone: Path) -> Iterator[None]:
    """Meanwhile the fleet has a reader, and may have more."""
    file = clone / "inventories/local/group_vars/all/10_local.yml"
    before = file.read_text()
    file.write_text(f"{before}\nfleet_readers_min: 1\nfleet_readers_max: 3\n")
    assert run("ansible-playbook", "-i", "inventories/local", "site.yml", cwd=clone).code == 0
    yield
    file.write_text(before)
    assert run("ansible-playbook", "-i", "inventories/local", "site.yml", cwd=clone).code == 0
