"""Runs the project's own ansible on tiny playbooks, with the repository's ansible.cfg."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
