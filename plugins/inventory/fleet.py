# SPDX-License-Identifier: Apache-2.0
"""Reads the AWS inventory, and stops with one sentence where AWS can't be asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ansible import context
from ansible.plugins.inventory.auto import InventoryModule as AutoInventory
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_faults import explain, unknown_region

try:
    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_regions import known_regions
except ImportError:  # no botocore; amazon.aws says so itself
    known_regions = None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader

DOCUMENTATION = r"""
name: fleet
short_description: Reads the AWS inventory, and stops with one sentence where AWS can't be asked
description:
  - Reads C(*.aws_ec2.yml) with the plugin that the file names, usually P(amazon.aws.aws_ec2#inventory), and adds
    nothing to it but, for a command with C(--limit), C(localhost), so that the limit can name it.
  - When that fails, Ansible tries its other inventory plugins on the same file and prints a page of warnings, most of
    them about the wrong plugin. This one prints one sentence, with the fix, and ends the run there; an inventory that
    can't be read never leads to an empty fleet on which a run then does nothing, or too much.
  - The check of the playbook C(preflight) can't do this, because every inventory is read before any play.
  - For a command that runs the playbook C(cost) and nothing else, AWS isn't asked and the inventory has no host, so
    that an estimate needs no credentials.
author:
  - Chroma Fleet developers (@chromafleet)
requirements:
  - to stand first in C(enable_plugins) of ansible.cfg, before C(auto)
options:
  plugin:
    description: The inventory plugin that reads the file.
    type: str
    default: amazon.aws.aws_ec2
"""

EXAMPLES = r"""
# hosts.aws_ec2.yml is the one of amazon.aws, unchanged. In ansible.cfg:
# [inventory]
# enable_plugins = chromafleet.aws.fleet, host_list, script, auto, yaml, ini, toml
plugin: amazon.aws.aws_ec2
regions: [eu-central-1]
"""

PLACEHOLDER = "CHANGE-ME"
SUFFIXES = (".aws_ec2.yml", ".aws_ec2.yaml")
HOSTLESS_FILE = "cost.yml"
HOSTLESS_NAME = "chromafleet.aws.cost"


def needs_no_host(playbooks: Sequence[str]) -> bool:
    """Whether these playbooks, as the command names them, only look at the inventory's variables."""
    return bool(playbooks) and all(name == HOSTLESS_NAME or Path(name).name == HOSTLESS_FILE for name in playbooks)


class InventoryModule(AutoInventory):
    """What `auto` does, for AWS inventories only, with errors that help."""

    NAME = "chromafleet.aws.fleet"

    def verify_file(self, path: str) -> bool:
        """Leave every other inventory to Ansible's own plugins."""
        return path.endswith(SUFFIXES) and super().verify_file(path)

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Read the file with its plugin."""
        if needs_no_host(context.CLIARGS.get("args") or ()):
            return
        config = loader.load_from_file(path, cache="none")
        config = config if isinstance(config, dict) else {}
        self._check_placeholders(config, path)
        self._check_regions(config, path)
        try:
            super().parse(inventory, loader, path, cache=cache)
        except Exception as error:
            text = str(error)
            self._stop(explain(text, config) or f"The inventory {path} can't be read: {' '.join(text.split())}.")
        # Ansible's own localhost is in no inventory, and so in no limit.
        if context.CLIARGS.get("subset"):
            inventory.add_host("localhost")
            inventory.set_variable("localhost", "ansible_connection", "local")
            inventory.set_variable("localhost", "ansible_python_interpreter", sys.executable)

    def _check_placeholders(self, config: dict[str, Any], path: str) -> None:
        if left := [option for option, value in config.items() if PLACEHOLDER in str(value)]:
            self._stop(f"{path} still holds the example's {PLACEHOLDER} ({', '.join(left)}): set your own values.")

    def _check_regions(self, config: dict[str, Any], path: str) -> None:
        # First, because a region that doesn't exist is otherwise an endpoint that doesn't answer, after some waiting.
        for region in config.get("regions") or [] if known_regions else []:
            if "{{" not in str(region) and region not in known_regions():
                self._stop(unknown_region(str(region), path, known_regions()))

    def _stop(self, sentence: str) -> NoReturn:
        # Not an exception that Ansible handles: it would go on to the next plugin, and print each one's complaint.
        self.display.error(sentence, wrap_text=False)
        raise SystemExit(1)
