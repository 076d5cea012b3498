#!/usr/bin/env python3
"""Puts torn vector segments back from a checkpoint, so that Chroma replays the rest from its queue.

A segment goes back to the newest checkpoint that has it whole, or is made anew where none has it, and SQLite is told
how far it goes. First of all it is proved, for every torn segment, that the queue still has all that is younger: the
record that the checkpoint's segment ends with is still there, and each record that SQLite knows gets a vector.

Segments are also taken back that are whole, but were written by a host that failed: Chroma never has its vector files
written to the disk, so that what was in that host's memory only is missing in the middle of them, which nothing shows.

The order makes a kill at any moment harmless: torn files aside, SQLite told, files from the checkpoint in their place.
Until the last step the segment's directory is missing, and the next start does all of it again. The torn files of the
last recoveries are kept. No server may use the data meanwhile.

Exit code: 0 nothing is torn any more, 3 damage is left (each is a line), 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import atomic
import check
import checkpoint
import wal

if TYPE_CHECKING:
    from collections.abc import Iterable

TORN_KEPT = 3
RECORDS = "SELECT embedding_id FROM embeddings WHERE segment_id = ?"
YOUNGER = """
    SELECT operation, id, vector IS NOT NULL FROM embeddings_queue WHERE topic = ? AND seq_id > ? ORDER BY seq_id
"""
DOUBT = "the host that wrote it failed, and had perhaps not written all of it to the disk"
UPDATE, DELETE = 1, 3  # the other operations add a record that isn't there


class LostError(Exception):
    """A segment can't be recovered; the text says what is missing."""


@dataclass(frozen=True)
class Plan:
    """What is done with one segment."""

    collection: str
    collection_id: str
    segment: str
    damage: str
    checkpoint: str | None
    until: int | None  # the last record that the files of the checkpoint hold
    replayed: int
    time: int

    def __str__(self) -> str:
        """The sentence for a person."""
        source = f"taken from checkpoint {self.checkpoint}" if self.checkpoint else "made anew"
        return (
            f"Recovered: collection {self.collection}, segment {self.segment} ({self.damage}) was {source}; "
            f"{self.replayed} records are left to the queue"
        )


def vector_segment(database: sqlite3.Connection, name: str) -> check.Segment | None:
    """A vector segment by its id."""
    rows = (check.Segment(*row) for row in database.execute(check.SEGMENTS, (check.VECTOR_SEGMENT,)))
    return next((segment for segment in rows if segment.id == name), None)


def base_of(source: Path, name: str, topic: str, database: sqlite3.Connection) -> tuple[int, set[str]]:
    """Up to which record a checkpoint has a segment whole, and its ids; raises LostError."""
    with wal.connect(source) as copy:
        segment = vector_segment(copy, name)
        if segment is None or segment.persisted_until is None:
            raise LostError("doesn't have it")
        try:
            check.check_segment(source, segment, copy)
        except check.TornError as torn:
            raise LostError(f"has it damaged ({torn})") from None
        until = check.sequence_number(segment.persisted_until)
        last = wal.row(copy, topic, until)
    # The same record, not just the same number: after a restore another one may have it.
    if last is None or wal.row(database, topic, until) != last:
        raise LostError(f"ends with record {until}, which the queue doesn't have any more")
    ids = check.read_ids(source / name) or {"id_to_label": {}}
    return until, set(ids["id_to_label"])


def replay(database: sqlite3.Connection, segment: check.Segment, topic: str, until: int, ids: set[str]) -> int:
    """Prove that the queue brings all that is younger; how many records that are."""
    deleted: set[str] = set()
    count = 0
    for operation, name, has_vector in database.execute(YOUNGER, (topic, until)):
        count += 1
        if operation == DELETE:
            ids.discard(name)
            deleted.add(name)
        elif has_vector and operation != UPDATE:
            ids.add(name)
            deleted.discard(name)
    # What was deleted last may not have been told to SQLite's own records yet.
    known = ids | deleted
    lost = [name for (name,) in database.execute(RECORDS, (segment.metadata_segment,)) if name not in known]
    if lost:
        raise LostError(f"lacks {len(lost)} records, {lost[0]!r} among them, which the queue doesn't have any more")
    return count


def plan(database: sqlite3.Connection, damage: check.Damage, sources: list[Path]) -> Plan:
    """How a segment is recovered; raises LostError where it can't be."""
    segment = vector_segment(database, damage.segment)
    topic = wal.topics(database).get(damage.collection_id, "")
    reasons = []
    for source in [*sources, None]:
        name = source.parent.name if source else None
        try:
            until, ids = base_of(source, segment.id, topic, database) if source else (0, set())
            replayed = replay(database, segment, topic, until, ids)
        except (LostError, OSError, sqlite3.Error) as lost:
            reasons.append(f"checkpoint {name} {lost}" if name else f"the queue alone {lost}")
            continue
        return Plan(
            damage.collection, damage.collection_id, segment.id, damage.damage, name, until or None, replayed,
            int(time.time()),
        )  # fmt: skip
    raise LostError(f"collection {damage.collection}, segment {segment.id} can't be recovered: {'; '.join(reasons)}")


def doubtful(data: Path, checkpoints: Path) -> list[check.Damage]:
    """Segments that were written since the newest checkpoint, with which all that was there was written to the disk."""
    sources = checkpoint.proved(checkpoints)
    until: dict[str, int] = {}
    if sources:
        with wal.connect(sources[0]) as copy:
            until = dict(copy.execute("SELECT segment_id, seq_id FROM max_seq_id"))
    if not (data / check.DATABASE).exists():
        return []
    with wal.connect(data) as database:
        if not wal.has_tables(database):
            return []
        rows = database.execute(check.SEGMENTS, (check.VECTOR_SEGMENT,)).fetchall()
    return [
        check.Damage(DOUBT, one.collection, one.collection_id, one.id, one.database, one.tenant)
        for one in (check.Segment(*row) for row in rows)
        if one.persisted_until is not None and one.persisted_until != until.get(one.id)
    ]


def write(path: Path, plans: list[Plan]) -> None:
    """A report, as a whole or not at all."""
    atomic.write(path, json.dumps([asdict(one) for one in plans]) + "\n")


def reported(torn: Path) -> list[Plan]:
    """All recoveries that are still known, the oldest first."""
    return [Plan(**one) for file in sorted(torn.glob("*/recovery.json")) for one in json.loads(file.read_text("utf-8"))]


def stage(plans: list[Plan], checkpoints: Path, staging: Path) -> None:
    """Copy what is taken from checkpoints, so that only renaming is left to be done."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    for one in plans:
        if one.checkpoint:
            source = checkpoints / one.checkpoint / "data" / one.segment
            subprocess.run([*checkpoint.COPY, source, staging], check=True)
    subprocess.run(["sync", "--file-system", staging], check=True)


def put_aside(folder: Path, aside: Path) -> None:
    """The torn files; a kill in an earlier recovery may have left none."""
    if folder.exists():
        folder.rename(aside / folder.name)
        checkpoint.sync(aside)
        checkpoint.sync(folder.parent)


def tell_sqlite(data: Path, one: Plan) -> None:
    """How far the files go that will be in place."""
    with wal.connect(data) as database:
        if one.until is None:
            database.execute("DELETE FROM max_seq_id WHERE segment_id = ?", (one.segment,))
        else:
            database.execute(
                "INSERT OR REPLACE INTO max_seq_id (segment_id, seq_id) VALUES (?, ?)", (one.segment, one.until)
            )


def put_in_place(staged: Path, data: Path) -> None:
    """The files of the checkpoint."""
    if staged.exists():
        staged.rename(data / staged.name)
        checkpoint.sync(data)


def plans_for(
    data: Path, checkpoints: Path, damages: list[check.Damage], doubts: Iterable[check.Damage] = ()
) -> list[Plan]:
    """How each segment is recovered; a doubtful one stays as it is where it can't be."""
    sources = checkpoint.proved(checkpoints)
    with wal.connect(data) as database:
        plans = [plan(database, damage, sources) for damage in damages]
        for doubt in doubts:
            try:
                plans.append(plan(database, doubt, sources))
            except LostError as lost:
                print(f"{doubt} It stays as it is: {lost}.", file=sys.stderr)
    return plans


def recover(
    data: Path, checkpoints: Path, torn: Path, damages: list[check.Damage], doubts: Iterable[check.Damage] = ()
) -> list[Plan]:
    """Recover every torn segment, or none and raise LostError; and doubtful ones as far as possible."""
    if rest := next((damage for damage in damages if not damage.segment), None):
        raise LostError(f"{rest} No vector segment is at fault")
    plans = plans_for(data, checkpoints, damages, doubts)
    if not plans:
        return []
    aside = torn / datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside.mkdir(mode=0o700, parents=True)
    staging = torn / "staging"
    stage(plans, checkpoints, staging)
    write(aside / "recovery.json", plans)
    for one in plans:
        put_aside(data / one.segment, aside)
        tell_sqlite(data, one)
        put_in_place(staging / one.segment, data)
        # There is nothing to be learnt from a whole one.
        if one.damage == DOUBT:
            shutil.rmtree(aside / one.segment)
    shutil.rmtree(staging)
    for old in sorted(file.parent for file in torn.glob("*/recovery.json"))[:-TORN_KEPT]:
        shutil.rmtree(old)
    return plans


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="data directory; no server may use it")
    parser.add_argument("--checkpoints", type=Path, required=True, help="directory of the checkpoints")
    parser.add_argument("--torn", type=Path, required=True, help="directory in which the torn files are kept")
    arguments = parser.parse_args()
    found = list(check.check(arguments.data, repair=True))
    try:
        for one in recover(arguments.data, arguments.checkpoints, arguments.torn, found) if found else []:
            print(f"{one}.")
    except LostError as lost:
        print(f"{lost}.", file=sys.stderr)
    left = list(check.check(arguments.data))
    print("\n".join(map(str, left)) or f"{arguments.data} is whole.")
    return check.DAMAGED if left else 0


if __name__ == "__main__":
    sys.exit(main())
