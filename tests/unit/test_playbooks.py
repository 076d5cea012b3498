"""What the plays that call AWS have in common."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_runs import ROOT

PLAYS = {
    f"{path.name}: {play['name']}": play
    for path in sorted((ROOT / "playbooks").glob("*.yml"))
    for play in yaml.safe_load(path.read_text())
    if any(name.startswith("group/") for name in play.get("module_defaults", {}))
}
ENVIRONMENT = "{{ fleet_aws_environment }}"
TELL = f"""
- name: Tell the environment
  hosts: localhost
  connection: local
  gather_facts: false
  environment: "{ENVIRONMENT}"
  tasks:
    - name: Tell it
      ansible.builtin.shell: env | grep ^AWS_ | sort > {{{{ told }}}}
"""


@pytest.mark.parametrize("name", PLAYS)
def test_a_play_that_calls_aws_has_the_environment(name):
    assert PLAYS[name]["environment"] == ENVIRONMENT


def test_what_the_environment_is(play, tmp_path):
    folder = tmp_path / "environment"
    (folder / "group_vars" / "all").mkdir(parents=True)
    (folder / "hosts.ini").write_text("")
    (folder / "group_vars" / "all" / "00_common.yml").symlink_to(ROOT / "group_vars" / "common.yml")
    extra = {"fleet_region": "eu-central-1", "told": str(tmp_path / "told")}
    done = play(TELL, "-e", json.dumps(extra), inventory=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(line.split("=") for line in (tmp_path / "told").read_text().splitlines())
    region = {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
    assert told.items() >= (region | {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "10"}).items()
