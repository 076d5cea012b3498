"""What the tests of snapshots share."""

import pytest
from published import Snapshots, serve


@pytest.fixture(scope="session")
def api():
    with serve() as found:
        yield found


@pytest.fixture(scope="module")
def snapshots(host, api):
    return Snapshots(host, api)
