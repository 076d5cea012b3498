"""What the tests of nginx share."""

import json

import pytest
import testinfra

HEARTBEAT = "/api/v2/heartbeat"


@pytest.fixture(scope="module")
def address(host):
    return host.interface("eth0").addresses[0]


@pytest.fixture
def chroma(host):
    """The server beside the host."""
    name = host.backend.get_pytest_id().removeprefix("ansible://") + "-chroma"
    machine = testinfra.get_host("local://")
    wait = f"timeout 30 sh -c 'until curl --silent --fail http://127.0.0.1:8000{HEARTBEAT}; do sleep 0.2; done'"
    host.check_output(wait)

    def do(action):
        machine.check_output(f"docker {action} {name}")
        if action.startswith("kill"):
            # A start would do nothing while the server is still at its end.
            machine.check_output(f"docker wait {name}")

    yield do
    machine.check_output(f"docker start {name}")
    host.check_output(wait)


@pytest.fixture
def fence(host):
    """Ask the fence: status and state. It is open afterwards."""

    def ask(method, query=""):
        said = host.check_output(
            "curl --silent --request %s --write-out '\\n%%{http_code}' %s",
            method,
            f"http://127.0.0.1:8081/fence{query}",
        )
        text, _, status = said.rpartition("\n")
        return int(status), json.loads(text)

    yield ask
    _, state = ask("GET")
    if state["fenced"]:
        ask("DELETE", f"?owner={state['owner']}")
