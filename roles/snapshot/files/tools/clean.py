"""Removes what an attempt leaves behind: copies, the throw-away server, writes that wait."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import copies
import proof
import report
import status

if TYPE_CHECKING:
    from settings import Settings


def clean(settings: Settings) -> None:
    """Remove what an attempt leaves behind, of this one or of one that was killed."""
    proof.remove()
    shutil.rmtree(settings.work, ignore_errors=True)


def clean_up(settings: Settings) -> int:
    """The command: after every attempt, also after one that was killed; whoever makes one just now is left alone."""
    with status.lock(settings.status):
        copies.release(settings)
        clean(settings)
    report.send(settings)
    return 0
