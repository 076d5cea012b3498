"""What the role has written down for these tools; how snapshots are fetched is in the role snapshot's own file."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

FILE = Path("/etc/chromafleet/reader.json")


@dataclass(frozen=True)
class Own:
    """Each has the meaning of the role's variable of that name, unless said otherwise."""

    interval: float
    drain: float
    samples: int
    warm_seconds: float
    start_timeout: float
    slots: dict[str, int]  # their ports
    slots_dir: Path
    compose: str  # path of a slot's compose file, with {slot} in it
    writer_name: str
    writer_port: int
    writer_addresses: list[str]
    nginx_port: int  # of its status server
    status: Path
    serving: Path  # which slot serves what, for the next start of nginx and of this
    writer: Path  # where the writer is, for the next start of nginx
    environment: Path  # which slot serves, for the deep probe
    tags: str


def load(file: Path = FILE) -> Own:
    """Read the settings."""
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    paths = {name: Path(values[name]) for name in ("slots_dir", "status", "serving", "writer", "environment")}
    return Own(**{field.name: values[field.name] for field in fields(Own)} | paths)
