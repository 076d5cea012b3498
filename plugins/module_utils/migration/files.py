# SPDX-License-Identifier: Apache-2.0
"""Collections as files: a folder for each database, a file for each collection."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from .errors import MigrationError
from .records import Collection, Record, pack, unpack

FORMATS = ("jsonl", "parquet")


class Folder:
    """The files of one database, written once and then read.

    A JSONL file has the collection in its first line and a record in each other one; a Parquet file has the collection
    in its metadata (`chromafleet.collection`) and a record's metadata as JSON.
    """

    def __init__(self, root: Path, database: str) -> None:
        self.path = root / quote(database, safe="")

    def collections(self) -> list[Collection]:
        """All collections, by name."""
        files = sorted(path for kind in FORMATS for path in self.path.glob(f"*.{kind}"))
        return [Collection(**_header(path), id=str(path)) for path in files]

    def find(self, name: str) -> Collection | None:
        """The collection of a name."""
        return next((collection for collection in self.collections() if collection.name == name), None)

    def count(self, collection: Collection) -> int:
        """How many records a file has."""
        return sum(len(batch) for batch in self.batches(collection, 1000))

    def batches(self, collection: Collection, size: int) -> Iterator[list[Record]]:
        """All records of a file, in its order."""
        path = Path(collection.id)
        rows = _parquet_rows(path, size) if path.suffix == ".parquet" else itertools.islice(_lines(path), 1, None)
        records = map(_record, rows)
        while batch := list(itertools.islice(records, size)):
            yield batch

    def write(self, collection: Collection, batches: Iterable[list[Record]], kind: str) -> int:
        """Write a file, which has its name only when it is whole, and return how many records it holds."""
        self.path.mkdir(parents=True, exist_ok=True)
        header = asdict(collection)
        del header["id"]
        path = self.path / f"{quote(collection.name, safe='')}.{kind}"
        part = path.with_name(f".{path.name}.part")
        written = 0
        with (_parquet if kind == "parquet" else _jsonl)(part, header) as add:
            for batch in batches:
                add([_row(record) for record in batch])
                written += len(batch)
        os.replace(part, path)
        return written


def _row(record: Record) -> dict[str, Any]:
    return {**record._asdict(), "embedding": unpack(record.embedding)}


def _record(row: dict[str, Any]) -> Record:
    return Record(row["id"], pack(row["embedding"]), row["document"], row["metadata"], row["uri"])


Add = Callable[[list[dict[str, Any]]], object]


@contextlib.contextmanager
def _jsonl(path: Path, header: dict[str, Any]) -> Iterator[Add]:
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"collection": header}) + "\n")
        yield lambda rows: file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _parquet(path: Path, header: dict[str, Any]) -> Iterator[Add]:
    arrow = _arrow()
    text = arrow.string()
    schema = arrow.schema(
        {"id": text, "embedding": arrow.list_(arrow.float32()), "document": text, "metadata": text, "uri": text},
        metadata={"chromafleet.collection": json.dumps(header)},
    )
    with arrow.parquet.ParquetWriter(path, schema) as file:

        def add(rows: list[dict[str, Any]]) -> None:
            told = [{**row, "metadata": json.dumps(row["metadata"])} for row in rows]
            file.write_batch(arrow.RecordBatch.from_pylist(told, schema=schema))

        yield add


def _header(path: Path) -> dict[str, Any]:
    """The collection in a file: `name`, `metadata`, `configuration`, `dimension`."""
    try:
        if path.suffix == ".parquet":
            return json.loads(_arrow().parquet.read_schema(path).metadata[b"chromafleet.collection"])
        return next(_lines(path))["collection"]
    except (KeyError, TypeError, StopIteration) as error:
        raise MigrationError(
            f"{path} does not begin with a collection: expected a file that an export wrote."
        ) from error


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise MigrationError(f"{path} has no JSON in line {number} ({error}): export it again.") from error


def _parquet_rows(path: Path, size: int) -> Iterator[dict[str, Any]]:
    with _arrow().parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(size):
            for row in batch.to_pylist():
                yield {**row, "metadata": json.loads(row["metadata"])}


def _arrow() -> ModuleType:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MigrationError(
            "Parquet needs the Python package pyarrow: pip install pyarrow, or choose jsonl."
        ) from error
    return pyarrow
