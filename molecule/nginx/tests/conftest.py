"""What the tests of nginx share."""

import pytest
import testinfra

HEARTBEAT = "/api/v2/heartbeat"


@pytest.fixture
def chroma(host):
    """The server beside the host."""
    name = host.backend.get_pytest_id().removeprefix("ansible://") + "-chroma"
    machine = testinfra.get_host("local://")
    wait = f"timeout 30 sh -c 'until curl --silent --fail http://127.0.0.1:8000{HEARTBEAT}; do sleep 0.2; done'"
    host.check_output(wait)
    yield lambda action: machine.check_output(f"docker {action} {name}")
    machine.check_output(f"docker start {name}")
    host.check_output(wait)
