"""Reads Chroma's SQLite beside the running server, and never writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def read(data: Path, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query; waits for a write that is under way."""
    with closing(sqlite3.connect(f"file:{data}/chroma.sqlite3?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()
