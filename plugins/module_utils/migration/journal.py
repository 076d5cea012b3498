# SPDX-License-Identifier: Apache-2.0
"""What a target has acknowledged, so that an interrupted migration goes on instead of starting anew.

A batch is known by a checksum over all that is in it: what changed in the source since is another batch.
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Self

from .errors import MigrationError
from .records import Record


class Journal:
    """The batches that arrived in each collection, in an SQLite file that survives kill -9 and a power cut.

    A collection is named by its target's id, which is another one when it was deleted and made again.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS arrived"
                " (collection TEXT, batch BLOB, PRIMARY KEY (collection, batch)) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise MigrationError(
                f"The journal {path} can't be written ({error}): choose another state directory."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def has(self, collection: str, batch: bytes) -> bool:
        """Whether a batch has arrived."""
        row = self._file.execute("SELECT 1 FROM arrived WHERE collection = ? AND batch = ?", (collection, batch))
        return row.fetchone() is not None

    def knows(self, collection: str) -> bool:
        """Whether anything has arrived in a collection."""
        return self._file.execute("SELECT 1 FROM arrived WHERE collection = ?", (collection,)).fetchone() is not None

    def add(self, collection: str, batch: bytes) -> None:
        """Write down that a batch has arrived."""
        self._file.execute("INSERT OR IGNORE INTO arrived VALUES (?, ?)", (collection, batch))

    def forget(self, collection: str) -> None:
        """Know nothing about a collection any more: every record is compared with the target's the next time."""
        self._file.execute("DELETE FROM arrived WHERE collection = ?", (collection,))


def checksum(batch: list[Record]) -> bytes:
    """32 bytes over all records of a batch."""
    return hashlib.sha256(b"".join(record.checksum() for record in batch)).digest()
