"""One role against an AWS API of its own, with the variables that the repository's inventories share."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from lifecycle import BIN, Run
from local_api import REGION, ROOT, LocalApi

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
PLAY = """
- name: One role
  hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    group/amazon.aws.aws: "{{ fleet_aws_connection }}"
    group/community.aws.aws: "{{ fleet_aws_connection }}"
    group/chromafleet.aws.aws: "{{ fleet_aws_connection }}"
  environment: {AWS_REGION: "{{ fleet_region }}", AWS_DEFAULT_REGION: "{{ fleet_region }}"}
  tasks:
    - name: Look at what exists
      ansible.builtin.include_role: {name: chromafleet.aws.fleet, tasks_from: gather}
    - name: Run the role
      ansible.builtin.include_role: {name: "chromafleet.aws.{{ role }}", tasks_from: "{{ entry }}"}
"""


class RoleRuns:
    """Runs of one role. `variables` are what the environment's own file would say."""

    def __init__(self, role: str, layer: str, api: LocalApi, variables: dict, folder: Path) -> None:
        self.role, self.api, self.folder = role, api, folder
        self.variables = {
            "fleet_region": REGION,
            "fleet_domain": "localhost",
            "fleet_aws_connection": api.connection,
            "fleet_layers": [layer],
            # What other roles tell.
            "aws_identity_kms_key_arn": KEY,
            **variables,
        }
        shared = folder / "group_vars/all/00_common.yml"
        shared.parent.mkdir(parents=True)
        shared.symlink_to(ROOT / "group_vars/common.yml")
        (folder / "hosts.ini").write_text("")
        (folder / "play.yml").write_text(PLAY)

    def __call__(self, *arguments: str, entry: str = "main", **variables: object) -> Run:
        """Gather, then run the role once."""
        started, before = time.monotonic(), len(self.api.calls())
        own = self.folder / "group_vars/all/10_own.yml"
        own.write_text(json.dumps(self.variables | variables | {"role": self.role, "entry": entry}))
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "AWS_"))}
        done = subprocess.run(
            [BIN / "ansible-playbook", "-i", self.folder / "hosts.ini", self.folder / "play.yml", *arguments],
            cwd=ROOT,
            env=clean | {"PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", "COLUMNS": "400"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return Run(done.returncode, done.stdout, time.monotonic() - started, self.api.calls()[before:])
