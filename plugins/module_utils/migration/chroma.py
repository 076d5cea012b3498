# SPDX-License-Identifier: Apache-2.0
"""Chroma's API v2, as far as a migration needs it."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from .connection import Connection
from .errors import MigrationError, RefusedError
from .records import Collection, Record, pack, unpack

INCLUDE = ["embeddings", "documents", "metadatas", "uris"]
# A name that can't be resolved and a wrong port shall not cost minutes; a server that answered once gets more patience.
FIRST_PATIENCE = 5.0
PAGE = 100
# An offset costs the server the more the larger it is (0.1 s for 90,000 records, measured), so few of them are used:
# ids come in long lists, and records by their ids.
IDS = 10_000
# The most results that Chroma Cloud gives at once.
CLOUD_RESULTS = 300
# A collection's metadata key, the setting that it was, and that setting's default.
LEGACY = (
    ("hnsw:space", "space", "l2"),
    ("hnsw:construction_ef", "ef_construction", 100),
    ("hnsw:search_ef", "ef_search", 100),
    ("hnsw:M", "max_neighbors", 16),
)


class Server:
    """A server, asked once what it takes: `max_batch` records in a request, embeddings in base64 or not."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        try:
            limits = connection.call("GET", "/api/v2/pre-flight-checks", patience=FIRST_PATIENCE)
            self.max_batch = int(limits["max_batch_size"])
            self.base64 = bool(limits.get("supports_base64_encoding"))
        except RefusedError as error:
            if error.status not in (404, 405):
                raise
            raise MigrationError(
                f"{connection.url} does not speak Chroma's API v2: stop that server and migrate its directory."
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise MigrationError(
                f"{connection.url} does not answer as a Chroma server does: check the address."
            ) from error

    def databases(self, tenant: str) -> list[str]:
        """The names of a tenant's databases."""
        return sorted(row["name"] for row in self.pages(f"{_tenant(tenant)}/databases"))

    def database(self, tenant: str, name: str) -> Database:
        """A database that exists."""
        return Database(self, tenant, name)

    def ensure_database(self, tenant: str, name: str) -> Database:
        """A database, made with its tenant where they are missing."""
        if not self.has_database(tenant, name):
            if not self._exists(_tenant(tenant)):
                self.connection.call("POST", "/api/v2/tenants", {"name": tenant})
            self.connection.call("POST", f"{_tenant(tenant)}/databases", {"name": name})
        return self.database(tenant, name)

    def has_database(self, tenant: str, name: str) -> bool:
        """Whether a database exists."""
        return self._exists(_database(tenant, name))

    def _exists(self, path: str) -> bool:
        try:
            self.connection.call("GET", path)
        except RefusedError as error:
            if error.status == 404:
                return False
            raise
        return True

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The rows of a list that a server gives in pages."""
        offset = 0
        while rows := self.connection.call("GET", f"{path}?limit={PAGE}&offset={offset}"):
            yield from rows
            offset += len(rows)


class Database:
    """A database of a server: collections and their records, read and written."""

    def __init__(self, server: Server, tenant: str, name: str) -> None:
        self.server = server
        self.name = name
        self._base = f"{_database(tenant, name)}/collections"

    def collections(self) -> list[Collection]:
        """All collections, by name."""
        rows = self.server.pages(self._base)
        return sorted((_collection(row) for row in rows), key=lambda collection: collection.name)

    def find(self, name: str) -> Collection | None:
        """The collection of a name."""
        try:
            return _collection(self._call("GET", f"/{quote(name, safe='')}"))
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def create(self, like: Collection) -> Collection:
        """A collection with the name, metadata and configuration of another one."""
        body = {
            "name": like.name,
            "metadata": like.metadata,
            "configuration": like.configuration or None,
            # The answer to a first try may have been lost on the way.
            "get_or_create": True,
        }
        return _collection(self._call("POST", "", body))

    def count(self, collection: Collection) -> int:
        """How many records there are."""
        return int(self._call("GET", f"/{collection.id}/count"))

    def batches(self, collection: Collection, size: int) -> Iterator[list[Record]]:
        """All records in the order in which they were first written, `size` at a time."""
        for ids in self._ids(collection):
            for start in range(0, len(ids), size):
                asked = ids[start : start + size]
                found = {record.id: record for record in self.fetch(collection, asked)}
                # One that is not found was deleted since.
                yield [found[record_id] for record_id in asked if record_id in found]

    def _ids(self, collection: Collection) -> Iterator[list[str]]:
        """All ids, in lists of `IDS` or of what a quota allows."""
        offset, limit = 0, IDS
        while True:
            which = {"limit": limit, "offset": offset, "include": []}
            try:
                ids = self._call("POST", f"/{collection.id}/get", which)["ids"]
            except RefusedError as error:
                if not error.too_large or limit == CLOUD_RESULTS:
                    raise
                limit = CLOUD_RESULTS
                continue
            if not ids:
                return
            yield ids
            offset += len(ids)

    def fetch(self, collection: Collection, ids: list[str]) -> list[Record]:
        """The records with these ids, as far as they exist, in any order."""
        asked = {"ids": ids, "limit": len(ids), "include": INCLUDE}
        found = self._call("POST", f"/{collection.id}/get", asked)
        nothing = [None] * len(found["ids"])
        columns = [found.get(name) or nothing for name in INCLUDE]
        return [
            Record(record_id, _embedding(values, record_id, collection), document, metadata or None, uri)
            for record_id, values, document, metadata, uri in zip(found["ids"], *columns, strict=True)
        ]

    def upsert(self, collection: Collection, records: list[Record]) -> None:
        """Write records. What a server finds too much for one request is halved, down to the one that is too much."""
        try:
            for start in range(0, len(records), self.server.max_batch):
                self._upsert(collection, records[start : start + self.server.max_batch])
        except RefusedError as error:
            if not error.too_large:
                raise
            if len(records) == 1:
                raise MigrationError(
                    f'The record "{records[0].id}" of collection "{collection.name}" is more than '
                    f"{self.server.connection.url} takes ({error.reason}): shorten it, or raise the limit there."
                ) from error
            half = len(records) // 2
            self.upsert(collection, records[:half])
            self.upsert(collection, records[half:])

    def delete(self, collection: Collection, ids: list[str]) -> None:
        """Delete the records with these ids."""
        self._call("POST", f"/{collection.id}/delete", {"ids": ids})

    def _upsert(self, collection: Collection, records: list[Record]) -> None:
        encode = (lambda value: base64.b64encode(value).decode()) if self.server.base64 else unpack
        body = {
            "ids": [record.id for record in records],
            "embeddings": [encode(record.embedding) for record in records],
            "documents": [record.document for record in records],
            "metadatas": [record.metadata for record in records],
            "uris": [record.uri for record in records],
        }
        self._call("POST", f"/{collection.id}/upsert", body)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        return self.server.connection.call(method, self._base + path, body)


def _tenant(name: str) -> str:
    return f"/api/v2/tenants/{quote(name, safe='')}"


def _database(tenant: str, name: str) -> str:
    return f"{_tenant(tenant)}/databases/{quote(name, safe='')}"


def _collection(row: dict[str, Any]) -> Collection:
    configuration = {kind: value for kind, value in (row.get("configuration_json") or {}).items() if value is not None}
    metadata = row.get("metadata") or {}
    index = configuration.get("hnsw", {})
    # Before 1.0 these were metadata, and ChromaDB 1.5 obeys them where it tells its defaults as the configuration.
    if all(index.get(setting) == default for _, setting, default in LEGACY):
        legacy = {setting: metadata[key] for key, setting, _ in LEGACY if key in metadata}
        configuration = {**configuration, "hnsw": {**index, **legacy}} if legacy else configuration
    return Collection(row["name"], row.get("metadata"), configuration, row.get("dimension"), row["id"])


def _embedding(values: list[float], record_id: str, collection: Collection) -> bytes:
    try:
        return pack(values)
    except (TypeError, struct.error) as error:
        raise MigrationError(
            f'The record "{record_id}" of collection "{collection.name}" has no readable embedding: the vector index '
            "there is damaged, restore it from a backup or delete the record."
        ) from error
