# SPDX-License-Identifier: Apache-2.0
"""What is moved: collections and their records, and when two records are the same."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from .decimals import settled

# ChromaDB keeps a vector of a cosine collection with length 1 and its length beside it, and gives their product: each
# number may change by rounding (2^-24 of the vector's length, seen: 2^-23.6) each time it is written.
COSINE_TOLERANCE = 2.0**-22


class Record(NamedTuple):
    """One record; `embedding` holds its float32 values, little-endian."""

    id: str
    embedding: bytes
    document: str | None
    metadata: dict[str, Any] | None
    uri: str | None

    def checksum(self, *, with_embedding: bool = True) -> bytes:
        """32 bytes over everything in the record, the types of its metadata included (1, 1.0, true and "1" differ).

        Floats in the metadata count as a server will keep them, see decimals.py.
        """
        rest = json.dumps([self.id, self.document, settled(self.metadata or None), self.uri], sort_keys=True)
        return hashlib.sha256(rest.encode() + (b"\0" + self.embedding if with_embedding else b"")).digest()


@dataclass(frozen=True)
class Collection:
    """A collection as its server describes it; `id` is that server's own."""

    name: str
    metadata: dict[str, Any] | None = None
    configuration: dict[str, Any] = field(default_factory=dict)
    dimension: int | None = None
    id: str = ""

    @property
    def kind(self) -> str:
        """The kind of its vector index: `hnsw` on one node, `spann` in Chroma Cloud."""
        return "spann" if "spann" in self.configuration else "hnsw"

    @property
    def index(self) -> dict[str, Any]:
        """The settings of its vector index."""
        return self.configuration.get(self.kind) or {}

    @property
    def space(self) -> str:
        """How distances are measured: l2, cosine or ip."""
        return self.index.get("space") or "l2"


class Readable(Protocol):
    """A database that records can be read from: a server's, or a folder of files."""

    def collections(self) -> list[Collection]:
        """All collections, by name."""

    def find(self, name: str) -> Collection | None:
        """The collection of a name."""

    def count(self, collection: Collection) -> int:
        """How many records a collection has."""

    def batches(self, collection: Collection, size: int) -> Iterator[list[Record]]:
        """All records, at most `size` at a time, always in the same order."""


def pack(values: list[float]) -> bytes:
    """The numbers of an embedding as float32, little-endian."""
    return struct.pack(f"<{len(values)}f", *values)


def unpack(embedding: bytes) -> list[float]:
    """The numbers of an embedding. Their decimals as Python writes them are exact."""
    return list(struct.unpack(f"<{len(embedding) // 4}f", embedding))


def same_embedding(one: bytes, other: bytes, space: str) -> bool:
    """Whether two embeddings are the same bits, or in a cosine collection the same but for ChromaDB's rounding."""
    if one == other:
        return True
    if space != "cosine" or len(one) != len(other):
        return False
    numbers = unpack(one)
    limit = COSINE_TOLERANCE * math.hypot(*numbers)
    return all(abs(a - b) <= limit for a, b in zip(numbers, unpack(other), strict=True))


def same_record(one: Record, other: Record, space: str) -> bool:
    """Whether nothing differs between two records."""
    rest = one.checksum(with_embedding=False) == other.checksum(with_embedding=False)
    return rest and same_embedding(one.embedding, other.embedding, space)
