# SPDX-License-Identifier: Apache-2.0
"""Copies a collection into a server, batch by batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from .chroma import Database
from .errors import MigrationError
from .journal import Journal, checksum
from .records import Collection, Readable, Record, same_record


@dataclass
class Progress:
    """How far the copy of one collection is: `done` of `total` records were looked at, `written` of them written."""

    collection: str
    total: int
    done: int = 0
    written: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Records a second so far."""
        return self.done / max(time.monotonic() - self.began, 1e-9)


Say = Callable[[Progress], None]


@dataclass(frozen=True)
class Pace:
    """How much may be under way: `in_flight` requests of `batch` records. Chroma Cloud takes at most 10 of 300."""

    batch: int = 300
    in_flight: int = 2


def copy_collection(
    source: Readable,
    collection: Collection,
    target: Database,
    called: str,
    journal: Journal,
    pace: Pace,
    say: Say,
) -> Progress:
    """Bring every record of a collection to the target, where it is `called` so; how many were written.

    What the target has already is not written again: batches that the journal knows, and records that are the same.
    """
    found = target.find(called)
    if found:
        refuse_other_vectors(collection, found)
    else:
        found = target.create(replace(collection, name=called))
    filled = target.count(found) > 0
    if not filled:
        journal.forget(found.id)
    progress = Progress(collection.name, source.count(collection))
    under_way: deque[tuple[bytes, int, Future[int]]] = deque()

    def finish_oldest() -> None:
        name, size, written = under_way.popleft()
        progress.written += written.result()
        journal.add(found.id, name)
        progress.done += size
        say(progress)

    with ThreadPoolExecutor(pace.in_flight) as pool:
        for batch in source.batches(collection, pace.batch):
            name = checksum(batch)
            if journal.has(found.id, name):
                progress.done += len(batch)
                say(progress)
                continue
            if len(under_way) == pace.in_flight:
                finish_oldest()
            under_way.append((name, len(batch), pool.submit(_write, target, found, batch, filled)))
        while under_way:
            finish_oldest()
    return progress


def refuse_other_vectors(source: Collection, target: Collection) -> None:
    """Refuse a collection that exists and whose vectors are of another kind: neither can be changed afterwards."""
    for what, wanted, there in (
        ("space", source.space, target.space),
        ("dimension", source.dimension, target.dimension),
    ):
        if wanted and there and wanted != there:
            raise MigrationError(
                f'The collection "{source.name}" exists in the target with {what} {there}, but has {wanted} in the '
                "source: delete or rename it there."
            )


def _write(target: Database, collection: Collection, batch: list[Record], filled: bool) -> int:
    """Write those records of a batch that the target lacks, and return how many.

    An upsert keeps the metadata keys that a record no longer has, so a record that changed is deleted first.
    """
    if filled:
        there = {record.id: record for record in target.fetch(collection, [record.id for record in batch])}
        batch = [
            record
            for record in batch
            if record.id not in there or not same_record(record, there[record.id], collection.space)
        ]
        changed = [record.id for record in batch if record.id in there]
        if changed:
            target.delete(collection, changed)
    if batch:
        target.upsert(collection, batch)
    return len(batch)
