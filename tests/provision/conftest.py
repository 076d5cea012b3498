"""Whole environments against an AWS API of their own: no instance runs, everything else is as with AWS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lifecycle import Environment, Run, start_registry
from local_api import LocalApi
from steps import Lifecycle


@pytest.fixture(scope="session")
def authority() -> Path:
    """The certificate of the local authority, once the registry that it signed for serves at localhost:5443."""
    return start_registry()


@pytest.fixture(scope="class")
def environment(
    request: pytest.FixtureRequest, aws: LocalApi, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """The inventory that the test class names, and an account with nothing but the domain's zone."""
    values = getattr(request.cls, "values", {})
    made = Environment(request.cls.name, values, aws, authority, tmp_path_factory.mktemp(request.cls.name))
    yield made
    # Not of what runs a part of it only: the deployer's policy must know everything that is called.
    if issubclass(request.cls, Lifecycle):
        made.keep_record()


@pytest.fixture(scope="class")
def planned(environment: Environment) -> Run:
    """The plan of the empty account."""
    return environment.run("plan")
