"""Runs the project's own ansible on tiny playbooks, with the repository's ansible.cfg."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def clean_env():
    """This environment without what would point Ansible or boto3 somewhere else."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AWS_", "MOTO_"))}
    return env | {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACKS_ENABLED": "chromafleet.aws.fleet_summary",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        # No credentials of the machine's own, and no waiting for an instance's metadata service.
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": f"{BIN}:{env['PATH']}",
    }


def run_ansible(playbook, *arguments, inventory, env=None, cwd=ROOT):
    """Run a playbook with the repository's ansible.cfg and return the finished process."""
    command = [BIN / "ansible-playbook", "-i", inventory, playbook, *arguments]
    env = clean_env() | (env or {})
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def play(tmp_path):
    """Run a playbook given as text (or by path); on two local hosts, unless another inventory is given."""

    def run(playbook, *arguments, inventory=None, env=None):
        if not isinstance(playbook, Path):
            (tmp_path / "play.yml").write_text(playbook)
            playbook = tmp_path / "play.yml"
        if inventory is None:
            inventory = tmp_path / "hosts.ini"
            inventory.write_text("[fleet]\none\ntwo\n[all:vars]\nansible_connection=local\n")
        return run_ansible(playbook, *arguments, inventory=inventory, env=env)

    return run


@pytest.fixture(scope="session")
def moto_api():
    """An empty AWS account on a port of its own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()
