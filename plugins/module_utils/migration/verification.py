# SPDX-License-Identifier: Apache-2.0
"""Proves that two collections hold the same records."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .chroma import Database
from .decimals import settled
from .records import Collection, Readable, same_embedding

# How many ids of each kind a verdict names.
NAMED = 5
COMPARED = ("space", "ef_construction", "ef_search", "max_neighbors")


@dataclass
class Verdict:
    """How a collection of the target compares with the source's: counts of records.

    `ids` has the first ids of those that differ, `settings` says what differs in the collection itself.
    """

    collection: str
    equal: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    deleted: int = 0
    ids: dict[str, list[str]] = field(default_factory=lambda: {"missing": [], "extra": [], "different": []})
    settings: list[str] = field(default_factory=list)

    @property
    def proved(self) -> bool:
        """Whether the two are the same."""
        return not (self.missing or self.extra or self.different or self.settings)

    def name(self, kind: str, record_id: str) -> None:
        """Count a record that differs."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.ids[kind]) < NAMED:
            self.ids[kind].append(record_id)


def verify_collection(
    source: Readable,
    collection: Collection,
    target: Readable,
    called: str,
    size: int,
    state: Path,
    *,
    delete_extra: bool = False,
) -> Verdict:
    """Compare every record. With `delete_extra`, what only the target (a server) has is deleted there.

    `called`: the collection's name in the target.

    The checksums of the source wait in a temporary file in `state`: 100 bytes for a record, and in a cosine collection
    its embedding, whose last bits may differ.
    """
    verdict = Verdict(collection.name)
    found = target.find(called)
    verdict.settings = setting_differences(collection, found) if found else ["it does not exist in the target"]
    state.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.NamedTemporaryFile(dir=state, prefix="verify-") as file,
        closing(sqlite3.connect(file.name, isolation_level=None)) as table,
    ):
        _remember(table, source, collection, size)
        if found:
            _compare(table, target, found, size, verdict)
        for (record_id,) in table.execute("SELECT id FROM source ORDER BY rowid"):
            verdict.name("missing", record_id)
        if delete_extra and isinstance(target, Database):
            for ids in _extra(table, size):
                target.delete(found, ids)
                verdict.deleted += len(ids)
            verdict.extra = 0
            verdict.ids["extra"] = []
    return verdict


def _remember(table: sqlite3.Connection, source: Readable, collection: Collection, size: int) -> None:
    """Write down what the source holds."""
    table.execute("PRAGMA journal_mode = OFF")
    table.execute("PRAGMA synchronous = OFF")
    table.execute("CREATE TABLE source (id TEXT PRIMARY KEY, rest BLOB, embedding BLOB)")
    table.execute("CREATE TABLE extra (id TEXT)")
    exact = collection.space != "cosine"
    for batch in source.batches(collection, size):
        rows = [
            (record.id, record.checksum(with_embedding=exact), b"" if exact else record.embedding) for record in batch
        ]
        table.execute("BEGIN")
        table.executemany("INSERT OR REPLACE INTO source VALUES (?, ?, ?)", rows)
        table.execute("COMMIT")


def _compare(table: sqlite3.Connection, target: Readable, collection: Collection, size: int, verdict: Verdict) -> None:
    """Take what the target holds off the list, judging each record."""
    exact = collection.space != "cosine"
    for batch in target.batches(collection, size):
        table.execute("BEGIN")
        for record in batch:
            row = table.execute("DELETE FROM source WHERE id = ? RETURNING rest, embedding", (record.id,)).fetchone()
            if row is None:
                verdict.name("extra", record.id)
                table.execute("INSERT INTO extra VALUES (?)", (record.id,))
            elif row[0] != record.checksum(with_embedding=exact) or not (
                exact or same_embedding(row[1], record.embedding, "cosine")
            ):
                verdict.name("different", record.id)
            else:
                verdict.equal += 1
        table.execute("COMMIT")


def _extra(table: sqlite3.Connection, size: int) -> Iterator[list[str]]:
    cursor = table.execute("SELECT id FROM extra")
    while rows := cursor.fetchmany(size):
        yield [record_id for (record_id,) in rows]


def setting_differences(source: Collection, target: Collection) -> list[str]:
    """What differs between two collections but for their records, in words."""
    pairs: list[tuple[str, Any, Any]] = [
        ("metadata", settled(source.metadata or {}), settled(target.metadata or {})),
        ("embedding function", _embedding_function(source), _embedding_function(target)),
        # A collection that never held a record has no dimension yet.
        ("dimension", source.dimension, target.dimension if source.dimension else None),
    ]
    # hnsw and spann have different settings, and the space in common.
    names = COMPARED if source.kind == target.kind else COMPARED[:1]
    pairs += [(name, source.index[name], target.index.get(name)) for name in names if name in source.index]
    return [f"{name} is {there!r}, not {wanted!r}" for name, wanted, there in pairs if wanted != there]


def _embedding_function(collection: Collection) -> Any:
    return collection.configuration.get("embedding_function") or {}
