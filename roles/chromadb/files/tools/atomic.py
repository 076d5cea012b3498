"""Files that others read while they are written: there as a whole, or as they were. The other roles use it too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write(file: Path, text: str) -> None:
    """Put a file in its place, readable for everybody, and its content on the disk."""
    new = file.with_suffix(".new")
    with new.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.chmod(0o644)
    new.replace(file)
