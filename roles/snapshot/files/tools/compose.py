"""Which image the server's compose file names."""

from __future__ import annotations

import re
from pathlib import Path

import atomic

FILE = Path("/etc/chromadb/compose.yaml")
IMAGE = re.compile(r"^( +image: )(\S+)$", re.MULTILINE)


def image(file: Path) -> str:
    """The one that it names."""
    (found,) = IMAGE.findall(file.read_text(encoding="utf-8"))
    return found[1]


def use(file: Path, reference: str) -> None:
    """Have it name another one; nothing where it does."""
    if image(file) != reference:
        text = IMAGE.sub(lambda match: match[1] + reference, file.read_text(encoding="utf-8"))
        atomic.write(file, text, mode=0o600)
