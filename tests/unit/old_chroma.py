"""Makes a data directory with whatever release of chromadb runs this: `python old_chroma.py DIRECTORY RECORDS`."""

from __future__ import annotations

import random
import sys

DIMENSION = 32


def record(number):
    """A record, the same for every release: id, embedding, document, metadata."""
    noise = random.Random(number)  # noqa: S311 - test data
    embedding = [noise.gauss(0, 1) for _ in range(DIMENSION)]
    metadata = {"n": number, "f": number / 3, "t": str(number), "b": number % 2 == 0}
    return f"id-{number}", embedding, f"document {number} \U0001f40d", metadata


def main():
    import chromadb

    path, count = sys.argv[1], int(sys.argv[2])
    client = chromadb.PersistentClient(path, settings=chromadb.config.Settings(anonymized_telemetry=False))
    for space in ("l2", "cosine", "ip"):
        settings = {"hnsw:space": space, "owner": "me"}
        collection = client.create_collection(f"space-{space}", metadata=settings, embedding_function=None)
        # The last ones stay in the write-ahead log, where the old releases keep what the index has not taken yet.
        for first in range(0, count if space == "l2" else min(count, 2500), 500):
            columns = zip(*map(record, range(first, first + 500)), strict=True)
            ids, embeddings, documents, metadatas = map(list, columns)
            collection.add(ids, embeddings, metadatas, documents)
        collection.delete(ids=["id-7"])
        collection.update(ids=["id-8"], metadatas=[{"t": "changed"}])
    print(chromadb.__version__)


if __name__ == "__main__":
    main()
