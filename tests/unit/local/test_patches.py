"""Every patch mends something: its probe fails on stock moto and holds on patched moto."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from localcloud import patches


@cache
def behaviours(*options: str) -> dict[str, bool | str]:
    """What each probe says, in a process of its own: a patch can't be taken back."""
    done = subprocess.run(
        [sys.executable, "-m", "localcloud.patches", *options],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        # Each probe has an account of its own; without AWS's 1,300 policies it is there 30 times sooner.
        env={
            **os.environ,
            "PYTHONPATH": str(Path(patches.__file__).parents[2]),
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "false",
        },
    )
    return json.loads(done.stdout)


NAMES = [patch.name for patch in patches.load()]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_stock_moto_still_needs_the_patch(name: str) -> None:
    assert behaviours("--stock")[name] is not True, f"moto does this by itself now: delete the patch {name}"


@pytest.mark.parametrize("name", NAMES)
def test_patched_moto_behaves_as_aws(name: str) -> None:
    assert behaviours()[name] is True


def test_another_moto_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches.moto, "__version__", "9.9.9")
    with pytest.raises(RuntimeError, match=r"written for moto 5\.2\.5, but 9\.9\.9 is installed"):
        patches.apply_all()


def test_every_patch_names_the_behaviour() -> None:
    assert all(len(patch.restores) > 20 for patch in patches.load())
    assert len(set(NAMES)) == len(NAMES)
