"""Runs the project's own ansible on tiny playbooks, with the repository's ansible.cfg."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture
def clean_env():
    """This environment without what would point Ansible or boto3 somewhere else."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AWS_", "MOTO_"))}
    return env | {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACKS_ENABLED": "chromafleet.aws.fleet_summary",
        # No credentials of the machine's own, and no waiting for an instance's metadata service.
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": f"{BIN}:{env['PATH']}",
    }


@pytest.fixture
def play(tmp_path, clean_env):
    """Run a playbook given as text (or by path) and return the finished process."""

    def run(playbook, *arguments, inventory=None, env=None):
        if not isinstance(playbook, Path):
            (tmp_path / "play.yml").write_text(playbook)
            playbook = tmp_path / "play.yml"
        if inventory is None:
            inventory = tmp_path / "hosts.ini"
            inventory.write_text("[fleet]\none\ntwo\n[all:vars]\nansible_connection=local\n")
        return subprocess.run(
            [BIN / "ansible-playbook", "-i", inventory, playbook, *arguments],
            cwd=ROOT, env=clean_env | {"ANSIBLE_PYTHON_INTERPRETER": sys.executable} | (env or {}),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return run
