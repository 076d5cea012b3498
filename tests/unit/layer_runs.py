"""Runs entry points of one `aws_*` role on what `fleet_info` tells of its layer, as the playbooks do."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml
from ansible_runs import run_ansible

COLLECTIONS = ("amazon.aws", "community.aws", "chromafleet.aws")
CHANGED = re.compile(r"changed=(\d+)")
ROW = re.compile(r"^(?:create|change|destroy)  .+$", re.MULTILINE)


@dataclass
class LayerRun:
    """A finished run, and the calls that it made."""

    code: int
    output: str
    calls: list[dict]

    @property
    def changed(self):
        """How many tasks changed something."""
        return int(CHANGED.findall(self.output)[-1])

    @property
    def writes(self):
        """The operations that may have changed something."""
        return [call["operation"] for call in self.calls if call["writes"]]

    @property
    def plan(self):
        """The rows of the plan's table that are not unchanged, each as one text."""
        return [re.sub(" +", " ", row) for row in ROW.findall(self.output)]


LOOK_AGAIN = "look again"


def run_layer(api, layer, variables, *steps, check=False, verbose=False):
    """Gather the layer, then run the steps: an entry point of aws_<layer>, (entry point, variables) or LOOK_AGAIN."""
    role = f"aws_{layer}"
    look = {"chromafleet.aws.fleet_info": {"fleet": "demo", "layers": [layer]}, "register": "fleet_found"}
    tasks = [look]
    for step in steps or ["main"]:
        entry, own = step if isinstance(step, tuple) else (step, {})
        include = {"name": f"chromafleet.aws.{role}", "tasks_from": entry}
        tasks.append(look if entry == LOOK_AGAIN else {"ansible.builtin.include_role": include, "vars": own})
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "check_mode": check,
        "module_defaults": {f"group/{name}.aws": api.connection for name in COLLECTIONS},
        "environment": {"AWS_REGION": "us-east-1"},
        "vars": {f"{role}_found": "{{ fleet_found[layer] }}", "layer": layer, **variables},
        "tasks": tasks,
    }
    before = len(api.calls())
    with tempfile.TemporaryDirectory() as folder:
        playbook = Path(folder) / "play.yml"
        playbook.write_text(yaml.safe_dump([play], sort_keys=False))
        done = run_ansible(
            playbook,
            "--diff",
            *(["-vvv"] if verbose else []),
            inventory="localhost,",
            env={"ANSIBLE_CALLBACKS_ENABLED": "chromafleet.aws.fleet_plan,chromafleet.aws.fleet_summary"},
        )
    return LayerRun(done.returncode, done.stdout + done.stderr, api.calls()[before:])
