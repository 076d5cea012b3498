"""What the unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.plugins.loader import init_plugin_loader
from ansible_runs import ROOT, run_ansible
from chroma_servers import servers  # noqa: F401 - a fixture
from module_runs import empty_account, record, run_module  # noqa: F401 - fixtures

# Lets a test import the collection's own Python as Ansible does: `ansible_collections.chromafleet.aws...`.
init_plugin_loader([str(ROOT / ".collections")])


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
