"""What the tests of readers share."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "nginx/tests"))

from cell import Cell


@pytest.fixture(scope="session")
def cell():
    """A writer, a reader, and what is published between them, with data."""
    made = Cell()
    made.fill()
    made.refresh()
    return made
