"""What moto does otherwise than AWS, mended: one patch for one behaviour.

A patch names the AWS behaviour that it restores and carries a probe that shows it through boto3. The tests run every
probe on stock moto, where it must fail (else the patch is no longer needed: delete it), and on patched moto, where it
must hold.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import moto

#: The version that the patches were written against; another one needs the tests first.
MOTO_VERSION = "5.2.5"

#: Makes a client; credentials come as boto3 takes them.
Client = Callable[..., Any]


@dataclass
class Patch:
    """One AWS behaviour: how moto is made to show it, and the probe that shows it."""

    name: str
    restores: str
    apply: Callable[[], None]
    holds: Callable[[Client], bool] = field(default=lambda client: False)

    def shown_by(self, probe: Callable[[Client], bool]) -> Callable[[Client], bool]:
        """Decorator for the probe: true when the API behaves as AWS does."""
        self.holds = probe
        return probe


REGISTERED: list[Patch] = []


def restores(behaviour: str) -> Callable[[Callable[[], None]], Patch]:
    """Decorator: make a function that patches moto a registered Patch."""

    def register(apply: Callable[[], None]) -> Patch:
        patch = Patch(f"{apply.__module__.rsplit('.', 1)[-1]}.{apply.__name__}", behaviour, apply)
        REGISTERED.append(patch)
        return patch

    return register


def load() -> list[Patch]:
    """Every patch of this package."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return REGISTERED


def apply_all() -> None:
    """Patch moto, or say why not."""
    if moto.__version__ != MOTO_VERSION:
        raise RuntimeError(
            f"The local cloud's patches were written for moto {MOTO_VERSION}, but {moto.__version__} is installed: "
            "run `pytest tests/unit/local/test_patches.py`, delete the patches that it reports as needless and raise "
            "MOTO_VERSION."
        )
    for patch in load():
        patch.apply()
