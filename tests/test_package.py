"""The collection as a user gets it: built, installed without a network, documented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
# Plugin folders and what `ansible-doc -t` calls them; an action plugin is documented by the module of its name.
DOCUMENTED = {
    "callback": "callback",
    "filter": "filter",
    "inventory": "inventory",
    "lookup": "lookup",
    "modules": "module",
    "test": "test",
}


def run(*command, cwd, **env):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    clean |= {"ANSIBLE_NOCOLOR": "1", "PATH": f"{BIN}:{os.environ['PATH']}"} | env
    process = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The collection's folder after build and install."""
    folder = tmp_path_factory.mktemp("package")
    home = {"HOME": str(folder), "ANSIBLE_HOME": str(folder / "home")}
    run("ansible-galaxy", "collection", "build", "--output-path", folder, cwd=ROOT, **home)
    (tarball,) = folder.glob("chromafleet-aws-*.tar.gz")
    # --offline: the dependencies are the ones that the package `ansible` carries.
    run(
        "ansible-galaxy",
        "collection",
        "install",
        "--offline",
        tarball,
        "-p",
        folder / "collections",
        cwd=folder,
        **home,
    )
    return folder / "collections" / "ansible_collections" / "chromafleet" / "aws"


def tracked(*paths):
    """What git knows of these folders: other files are somebody's work in progress."""
    return subprocess.run(
        ["git", "ls-files", *paths], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_holds_what_users_run(installed):
    wanted = tracked(
        "bin", "plugins", "roles", "playbooks", "meta", "group_vars", "inventories", "site.yml", "LICENSE", "README.md"
    )
    assert [path for path in wanted if not (installed / path).exists()] == []


@pytest.mark.parametrize(
    "name", ["local", "demo", "molecule", "tests/output", ".venv", ".cache", ".collections", ".ci", ".git", "Makefile"]
)
def test_leaves_out_what_only_works_in_the_repository(installed, name):
    assert not (installed / name).exists()


def test_leaves_out_compiled_files(installed):
    assert not [path for path in installed.rglob("*") if "__pycache__" in path.parts]


def test_shared_defaults_stay_one_file(installed):
    link = installed / "inventories" / "example" / "group_vars" / "all" / "00_common.yml"
    assert link.is_symlink()
    assert link.resolve().parent == (installed / "group_vars").resolve()


def test_manifest(installed):
    information = json.loads((installed / "MANIFEST.json").read_text())["collection_info"]
    assert (information["namespace"], information["name"], information["license"]) == (
        "chromafleet",
        "aws",
        ["Apache-2.0"],
    )


@pytest.mark.parametrize("kind", [kind for kind in DOCUMENTED if list((ROOT / "plugins" / kind).glob("*.py"))])
def test_every_plugin_is_documented(installed, kind):
    names = {path.stem for path in (installed / "plugins" / kind).glob("*.py") if path.stem != "__init__"}
    names = {f"chromafleet.aws.{name}" for name in names}
    path = str(installed.parents[2])
    told = run("ansible-doc", "-t", DOCUMENTED[kind], "-j", *names, cwd=installed, ANSIBLE_COLLECTIONS_PATH=path)
    for name, doc in json.loads(told).items():
        assert doc["doc"]["short_description"], name
        assert doc["examples"], name
    assert set(json.loads(told)) == names


def test_every_action_has_its_module():
    actions = {path.stem for path in (ROOT / "plugins" / "action").glob("*.py")}
    assert actions <= {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}


def test_every_role_is_documented(installed):
    roles = {
        f"chromafleet.aws.{path.parents[1].name}" for path in (installed / "roles").glob("*/meta/argument_specs.yml")
    }
    path = str(installed.parents[2])
    told = json.loads(run("ansible-doc", "-t", "role", "-j", *roles, cwd=installed, ANSIBLE_COLLECTIONS_PATH=path))
    assert set(told) == roles
    for name, role in told.items():
        for entry, spec in role["entry_points"].items():
            missing = [option for option, what in (spec.get("options") or {}).items() if not what.get("description")]
            assert missing == [], f"{name} {entry}"
