"""Files that others read while they are written: there as a whole, or as they were. The other roles use it too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write(file: Path, text: str, mode: int = 0o644) -> None:
    """Put a file in its place, readable for everybody unless said otherwise, and its content on the disk."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.chmod(mode)
    new.replace(file)
