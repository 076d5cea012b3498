"""Chroma's queue (embeddings_queue), which holds the vector of every record that was written since it was purged.

Chroma reads before each purge whether it may (embeddings_queue_config). Here it may not, so that what a torn vector
segment lacks can be replayed; what checkpoints cover is deleted by `purge`. Nothing is ever deleted but the oldest
records of a collection, and never the last one that a checkpoint holds: where that one still is, all younger ones are.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import check

if TYPE_CHECKING:
    from pathlib import Path

# As Chroma writes it.
KIND = "EmbeddingsQueueConfigurationInternal"
# Chroma looks for a collection's records among all that are younger than its files. Its queue of some hundred records
# needs no index for that; this one does.
INDEX = "CREATE INDEX IF NOT EXISTS chromafleet_queue ON embeddings_queue (topic, seq_id)"
NO_INDEX = "DROP INDEX IF EXISTS chromafleet_queue"
# What both segments of a collection hold.
COVERED = """
    SELECT s.collection, v.seq_id, m.seq_id FROM segments s JOIN max_seq_id v ON v.segment_id = s.id
    JOIN segments other ON other.collection = s.collection AND other.scope = 'METADATA'
    JOIN max_seq_id m ON m.segment_id = other.id WHERE s.scope = 'VECTOR'
"""
ROW = """
    SELECT created_at, operation, id, vector, encoding, metadata FROM embeddings_queue WHERE topic = ? AND seq_id = ?
"""
PURGE = """
    DELETE FROM embeddings_queue WHERE seq_id IN
    (SELECT seq_id FROM embeddings_queue WHERE topic = ? AND seq_id < ? ORDER BY seq_id LIMIT ?)
"""
ROWS = 500  # in one transaction, for which the server's own writes wait
PAUSE = 0.02  # in which they come to their turn
# A server that is started finds the database open meanwhile, and waits no longer than 30 s.
PURGE_SECONDS = 20.0


def connect(data: Path) -> closing[sqlite3.Connection]:
    """Chroma's database, in autocommit."""
    file = f"file:{data / check.DATABASE}?mode=rw"
    return closing(sqlite3.connect(file, uri=True, timeout=30, isolation_level=None))


def has_tables(database: sqlite3.Connection) -> bool:
    """Whether the server has made them already."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    return {"embeddings_queue", "embeddings_queue_config", "max_seq_id", "segments"} <= tables


def keep(data: Path, *, kept: bool) -> bool:
    """Tell Chroma whether the queue is kept; False where its tables aren't there yet."""
    if not (data / check.DATABASE).exists():
        return False
    with connect(data) as database:
        if not has_tables(database):
            return False
        wanted = {"automatically_purge": not kept, "_type": KIND}
        found = [
            json.loads(text) for (text,) in database.execute("SELECT config_json_str FROM embeddings_queue_config")
        ]
        if found != [wanted]:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM embeddings_queue_config")
            database.execute(
                "INSERT INTO embeddings_queue_config (id, config_json_str) VALUES (1, ?)", (json.dumps(wanted),)
            )
            database.execute("COMMIT")
        database.execute(INDEX if kept else NO_INDEX)
    return True


def covered(database: sqlite3.Connection) -> dict[str, int]:
    """Up to which record each collection is in its segments; none where its vectors are in the queue only."""
    return {
        collection: min(check.sequence_number(vectors), check.sequence_number(metadata))
        for collection, vectors, metadata in database.execute(COVERED)
    }


def topics(database: sqlite3.Connection) -> dict[str, str]:
    """The name in the queue of each collection."""
    return {
        topic.rsplit("/", 1)[-1]: topic for (topic,) in database.execute("SELECT DISTINCT topic FROM embeddings_queue")
    }


def row(database: sqlite3.Connection, topic: str, sequence: int) -> Any:
    """A record of the queue."""
    return database.execute(ROW, (topic, sequence)).fetchone()


def floors(database: sqlite3.Connection, kept: list[Path]) -> dict[str, int]:
    """For each topic the record up to which any of these copies of the data can do without the queue."""
    names = topics(database)
    found = {names[collection]: until for collection, until in covered(database).items() if collection in names}
    for data in kept:
        with connect(data) as copy:
            until = covered(copy)
            for collection, topic in names.items():
                if topic not in found:
                    continue
                sequence = until.get(collection, 0)
                # A copy from before the data was restored has another history under the same numbers: it is no help.
                if sequence and row(copy, topic, sequence) != row(database, topic, sequence):
                    continue
                found[topic] = min(found[topic], sequence)
    return found


def purge(data: Path, kept: list[Path]) -> int:
    """Delete what none of the copies needs, beside the running server; the number of records."""
    if not kept:
        return 0
    deleted = 0
    until = time.monotonic() + PURGE_SECONDS
    with connect(data) as database:
        for topic, floor in floors(database, kept).items():
            while time.monotonic() < until:
                count = database.execute(PURGE, (topic, floor, ROWS)).rowcount
                deleted += count
                if count < ROWS:
                    break
                time.sleep(PAUSE)
    return deleted
