"""What all tests share."""

from __future__ import annotations

import pytest
from local_api import local_api


@pytest.fixture(scope="module")
def aws():
    """An AWS API with an empty account, for the tests of one file."""
    with local_api() as api:
        yield api
