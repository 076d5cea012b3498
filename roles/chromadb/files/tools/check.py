#!/usr/bin/env python3
"""Looks whether a data directory of ChromaDB is whole, before it is served or trusted as a snapshot.

Chroma overwrites the files of its vector segments in place, so that a crash can leave them torn, and it then serves
them: counts, queries and its own health check go on as if nothing were missing. Nobody may write while this looks;
SQLite's journal of a crash is rolled back, as the server would do it. Time and memory are linear in the data's size.

One damage is made good with --repair, without loss: a crash between the writing of an index and of the map of its ids
leaves vectors that are marked as deleted but still have their ids. Chroma then stumbles over its own queue, which
deletes them a second time, and answers 500 for good. Without the marks the queue does it once more, and all is well.

Exit code: 0 whole, 3 damaged (each damage is a line), 1 it could not be looked at.
"""

from __future__ import annotations

import argparse
import json
import mmap
import pickle
import re
import sqlite3
import struct
import sys
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

DAMAGED = 3
DATABASE = "chroma.sqlite3"
PICKLE = "index_metadata.pickle"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VECTOR_SEGMENT = "urn:chroma:segment/vector/hnsw-local-persisted"
# hnswlib's header as Chroma writes it: version, offset of level 0, capacity, elements, size of an element, offset of
# its label, offset of its vector, highest level, entry point, links on upper levels, links on level 0, and settings.
HEADER = struct.Struct("<iQQQQQQiIQQQdQ")
COUNT = struct.Struct("<I")
LEVEL_0 = struct.Struct("<HB")  # number of links, mark of a deleted element
LABEL = struct.Struct("<Q")
DELETED = 0x01
SEGMENTS = """
    SELECT s.id, c.id, c.name, c.dimension, d.name, d.tenant_id, m.seq_id,
           (SELECT id FROM segments WHERE collection = c.id AND scope = 'METADATA')
    FROM segments s JOIN collections c ON c.id = s.collection JOIN databases d ON d.id = c.database_id
    LEFT JOIN max_seq_id m ON m.segment_id = s.id
    WHERE s.scope = 'VECTOR' AND s.type = ? ORDER BY s.id
"""


class TornError(Exception):
    """A damage; its text is the sentence's end."""


class StaleMapError(TornError):
    """The map of ids is older than the index, which is whole."""

    def __init__(self, index: Index, labels: set[int]) -> None:
        super().__init__(
            f"{len(labels)} of its ids have a vector that is marked as deleted; `check.py --repair` makes it good"
        )
        self.index = index
        self.labels = labels


@dataclass(frozen=True)
class Segment:
    """A vector segment, as SQLite names it."""

    id: str
    collection_id: str
    collection: str
    dimension: int | None
    database: str
    tenant: str
    persisted_until: int | None  # the last record of the queue that its files hold
    metadata_segment: str


@dataclass(frozen=True)
class Damage:
    """What is wrong, and where."""

    damage: str
    collection: str = ""
    collection_id: str = ""
    segment: str = ""
    database: str = ""
    tenant: str = ""

    def __str__(self) -> str:
        """The sentence for a person."""
        if not self.segment:
            return f"{DATABASE}: {self.damage}."
        place = f"tenant {self.tenant}, database {self.database}"
        return f"collection {self.collection} ({place}), segment {self.segment}: {self.damage}."


class PlainUnpickler(pickle.Unpickler):
    """Takes dictionaries, lists, texts and numbers only: a pickle may otherwise run any code."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every object."""
        raise pickle.UnpicklingError(f"it names {module}.{name}, but only plain data belongs there")


def segment_directories(data: Path) -> list[Path]:
    """The directories that are named as a vector segment, whether or not SQLite names it."""
    return sorted(path for path in data.iterdir() if UUID.fullmatch(path.name) and path.is_dir())


def sequence_number(value: Any) -> int:
    """Older releases stored it as big-endian bytes."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) else int(value)


def read_ids(folder: Path) -> dict[str, Any] | None:
    """The map between ids and labels; None where none was ever written."""
    try:
        with (folder / PICKLE).open("rb") as file:
            ids = PlainUnpickler(file).load()
    except FileNotFoundError:
        return None
    except (EOFError, ValueError, KeyError, IndexError, TypeError, pickle.UnpicklingError, UnicodeDecodeError) as error:
        raise TornError(f"{PICKLE} can't be read ({error or 'it is cut off'})") from None
    wanted = {"id_to_label": dict, "label_to_id": dict, "total_elements_added": int}
    if not isinstance(ids, dict) or any(not isinstance(ids.get(key), kind) for key, kind in wanted.items()):
        raise TornError(f"{PICKLE} holds no map of ids")
    if len(ids["id_to_label"]) != len(ids["label_to_id"]):
        raise TornError(f"{PICKLE} maps {len(ids['id_to_label'])} ids to {len(ids['label_to_id'])} labels")
    return ids


class Index:
    """The HNSW files of a segment."""

    def __init__(self, folder: Path, dimension: int | None) -> None:
        self.folder = folder
        raw = self._read("header.bin")
        if len(raw) < HEADER.size:
            raise TornError(f"header.bin has {len(raw)} of {HEADER.size} bytes")
        (_, _, capacity, self.elements, self.size, self.label_at, vector_at, self.top_level, entry, links, self.links_0,
         *_) = HEADER.unpack_from(raw)  # fmt: skip
        self.upper_size = links * 4 + 4
        vector = self.label_at - vector_at
        if not (
            self.elements <= capacity < 1 << 40
            and 0 < links <= self.links_0 < 1 << 16
            and vector_at == self.links_0 * 4 + 4
            and self.label_at + LABEL.size == self.size
            and vector > 0
        ):
            raise TornError("header.bin contradicts itself")
        if dimension is not None and vector != dimension * 4:
            raise TornError(f"header.bin tells vectors of {vector // 4} dimensions, but the collection has {dimension}")
        if self.elements and not (entry < self.elements and 0 <= self.top_level < 1 << 10):
            raise TornError(f"header.bin begins at element {entry} of {self.elements}")

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise TornError(f"{name} is missing") from None

    def _at_least(self, name: str, needed: int) -> None:
        try:
            has = (self.folder / name).stat().st_size
        except FileNotFoundError:
            raise TornError(f"{name} is missing") from None
        if has < needed:
            raise TornError(f"{name} has {has} bytes, but {self.elements} elements need {needed}")

    def labels(self) -> tuple[set[int], set[int]]:
        """The labels of the elements that live and of those marked as deleted; checks every link on the way."""
        self._at_least("data_level0.bin", self.elements * self.size)
        self._at_least("length.bin", self.elements * 4)
        live: set[int] = set()
        deleted: set[int] = set()
        if not self.elements:
            return live, deleted
        with (
            (self.folder / "data_level0.bin").open("rb") as file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data,
        ):
            for element in range(self.elements):
                at = element * self.size
                count, mark = LEVEL_0.unpack_from(data, at)
                if count > self.links_0:
                    raise TornError(f"data_level0.bin: element {element} has {count} links, more than {self.links_0}")
                self._check_links("data_level0.bin", element, data[at + 4 : at + 4 + 4 * count])
                (deleted if mark & DELETED else live).add(LABEL.unpack_from(data, at + self.label_at)[0])
        if 0 in live or 0 in deleted or len(live) + len(deleted) != self.elements:
            raise TornError(
                f"data_level0.bin: only {len((live | deleted) - {0})} of {self.elements} elements were written"
            )
        return live, deleted

    def unmark(self, labels: set[int]) -> None:
        """Take the mark of deletion off; the elements are as they were, since Chroma never uses their places again."""
        with (
            (self.folder / "data_level0.bin").open("r+b") as file,
            mmap.mmap(file.fileno(), self.elements * self.size) as data,
        ):
            for at in range(0, self.elements * self.size, self.size):
                if LABEL.unpack_from(data, at + self.label_at)[0] in labels:
                    count, mark = LEVEL_0.unpack_from(data, at)
                    LEVEL_0.pack_into(data, at, count, mark & ~DELETED)
            data.flush()

    def check_upper_levels(self) -> None:
        """Walk through the lists of links of the upper levels."""
        # A torn segment makes Chroma write this file without end, so its size is looked at before its content.
        limit = self.elements * (4 + self.upper_size * max(1, self.top_level))
        self._at_least("link_lists.bin", 0)
        size = (self.folder / "link_lists.bin").stat().st_size
        if size > limit:
            raise TornError(
                f"link_lists.bin has {size} bytes, but {self.elements} elements can't have more than {limit}"
            )
        lists = self._read("link_lists.bin")
        at = 0
        for element in range(self.elements):
            if at + 4 > len(lists):
                raise TornError(f"link_lists.bin ends at element {element} of {self.elements}")
            (length,) = COUNT.unpack_from(lists, at)
            at += 4
            if length % self.upper_size or length // self.upper_size > self.top_level or at + length > len(lists):
                raise TornError(f"link_lists.bin: element {element} has {length} bytes of links")
            for level in range(at, at + length, self.upper_size):
                count = LEVEL_0.unpack_from(lists, level)[0]
                if count > self.links_0:
                    raise TornError(f"link_lists.bin: element {element} has {count} links")
                self._check_links("link_lists.bin", element, lists[level + 4 : level + 4 + 4 * count])
            at += length

    def _check_links(self, name: str, element: int, raw: bytes) -> None:
        if raw and max(array("I", raw)) >= self.elements:
            raise TornError(f"{name}: element {element} has a link beyond the last of {self.elements} elements")


def check_segment(root: Path, segment: Segment, database: sqlite3.Connection) -> None:
    """Raise the first damage of a segment."""
    folder = root / segment.id
    # Never persisted: all of its records are in the queue, and the server builds the index anew.
    if not folder.is_dir():
        if segment.persisted_until is None:
            return
        raise TornError("its directory is missing")
    ids = read_ids(folder)
    if ids is None:
        if segment.persisted_until is None:
            return
        raise TornError(f"{PICKLE} is missing")
    if not ids["id_to_label"]:
        # The server doesn't open an index that no id points into.
        check_records(ids, segment, database)
        return
    index = Index(folder, segment.dimension)
    live, deleted = index.labels()
    index.check_upper_levels()
    mapped = ids["label_to_id"].keys()
    if lost := len(mapped - live - deleted):
        raise TornError(f"{lost} of its {len(mapped)} ids have no vector")
    # Younger elements are those of a write whose map was not written any more: the queue still has it.
    if stray := sum(1 for label in live - mapped if label <= ids["total_elements_added"]):
        raise TornError(f"{stray} vectors belong to no id")
    check_records(ids, segment, database)
    if again := mapped & deleted:
        raise StaleMapError(index, again)


def check_records(ids: dict[str, Any], segment: Segment, database: sqlite3.Connection) -> None:
    """Whether each record that is no longer in the queue has its vector."""
    if segment.persisted_until is None:
        return
    until = sequence_number(segment.persisted_until)
    rows = database.execute(
        "SELECT embedding_id, seq_id FROM embeddings WHERE segment_id = ?", (segment.metadata_segment,)
    )
    known = ids["id_to_label"]
    if lost := sum(1 for name, sequence in rows if name not in known and sequence_number(sequence) <= until):
        raise TornError(f"{lost} records have lost their vectors")


def check(root: Path, *, repair: bool = False) -> Iterator[Damage]:
    """All damage in a data directory, without what was made good."""
    # The server would make a new and empty database beside them.
    folders = [folder for folder in root.iterdir() if (folder / "header.bin").exists()]
    if not (root / DATABASE).exists():
        if folders:
            yield Damage(f"it is missing, but {len(folders)} segments are there")
        return
    database = sqlite3.connect(f"file:{root / DATABASE}?mode=rw", uri=True, timeout=60)
    try:
        said = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if said != "ok":
            yield Damage(f"SQLite finds it damaged ({' '.join(said.split())[:200]})")
            return
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        # A server that was killed at its very first start has made only some of them yet.
        if not {"segments", "collections", "databases", "max_seq_id", "embeddings"} <= tables:
            if folders:
                yield Damage(f"it has no collections, but {len(folders)} segments are there")
            return
        for row in database.execute(SEGMENTS, (VECTOR_SEGMENT,)).fetchall():
            segment = Segment(*row)
            try:
                check_segment(root, segment, database)
            except TornError as torn:
                if repair and isinstance(torn, StaleMapError):
                    torn.index.unmark(torn.labels)
                    told = f"{len(torn.labels)} deletions are left to the queue again"
                    print(f"collection {segment.collection}, segment {segment.id}: {told}.", file=sys.stderr)
                    continue
                yield Damage(
                    str(torn), segment.collection, segment.collection_id, segment.id, segment.database, segment.tenant
                )
    except sqlite3.DatabaseError as error:
        yield Damage(f"SQLite can't read it ({error})")
    finally:
        database.close()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("directory", type=Path, help="data directory, with chroma.sqlite3 in it; no server may use it")
    parser.add_argument("--json", action="store_true", help="print the damage as a JSON list")
    parser.add_argument("--repair", action="store_true", help="make good what can be without loss")
    arguments = parser.parse_args()
    if not arguments.directory.is_dir():
        print(f"{arguments.directory} is no directory; give the data directory of a stopped server.", file=sys.stderr)
        return 1
    found = list(check(arguments.directory, repair=arguments.repair))
    if arguments.json:
        print(json.dumps([asdict(damage) for damage in found]))
    else:
        print("\n".join(map(str, found)) or f"{arguments.directory} is whole.")
    return DAMAGED if found else 0


if __name__ == "__main__":
    sys.exit(main())
