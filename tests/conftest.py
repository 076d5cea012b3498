"""What all tests share."""

from __future__ import annotations

import pytest
from local_api import local_api

# Where assertions stand outside of a test's own file.
pytest.register_assert_rewrite("lifecycle", "steps")


@pytest.fixture(scope="module")
def aws():
    """An AWS API with an empty account, for the tests of one file."""
    with local_api() as api:
        yield api
