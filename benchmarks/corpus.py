"""What is stored and what is asked: the same for everyone, from a fixed seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import chromadb
import numpy as np
from loadgen import write_bodies
from numpy.typing import NDArray

DIMENSIONS = 384
COLLECTION = "bench"
IMAGE = "chromafleet-local/chroma:1.5.9"
#: Changed with what is stored, so that an older directory is not taken for it.
VERSION = 1


def vectors(count: int, seed: int) -> NDArray:
    """Unit vectors."""
    found = np.random.default_rng(seed).standard_normal((count, DIMENSIONS), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def records(first: int, embeddings: NDArray) -> dict[str, list]:
    """As `add` takes them: a document of some 170 characters and four values of metadata each."""
    numbers = range(first, first + len(embeddings))
    text = "Chapter {0} tells what an agent has to know of case {0}, whom it may ask, and what was done the last time. "
    return {
        "ids": [f"record-{n:07}" for n in numbers],
        "embeddings": embeddings.tolist(),
        "documents": [(text.format(n) + "Kept as it was written.").ljust(170, ".") for n in numbers],
        "metadatas": [
            {"source": f"book-{n % 97}", "lang": ("en", "de", "fr", "pl")[n % 4], "page": n, "score": n % 1000 / 1000}
            for n in numbers
        ],
    }


def queries(count: int) -> Iterator[bytes]:
    """Bodies of different queries, with the precision that the Chroma client sends."""
    include = ["documents", "metadatas", "distances"]
    for start in range(0, count, 1000):
        for vector in vectors(min(1000, count - start), seed=1000 + start).tolist():
            yield json.dumps({"query_embeddings": [vector], "n_results": 10, "include": include}).encode()


def additions(batches: int, size: int) -> Iterator[bytes]:
    """Bodies that add records."""
    for number in range(batches):
        yield json.dumps(records(number * size, vectors(size, seed=2_000_000 + number))).encode()


def write_files(folder: Path, different: int, batches: int, batch: int) -> None:
    """The bodies that the load generator sends, unless they are there."""
    stamp = folder / f"bodies-{VERSION}-{different}-{batches}-{batch}"
    if not stamp.exists():
        write_bodies(folder / "queries", queries(different))
        write_bodies(folder / "additions", additions(batches, batch))
        stamp.touch()


def data_directory(cache: Path, count: int) -> Path:
    """A data directory with so many records, loaded through the API of a server that then ended."""
    folder = cache / f"data-{VERSION}-{count}"
    if folder.exists():
        return folder
    loading = folder.with_suffix(".loading")
    subprocess.run(["rm", "-rf", loading], check=True)
    loading.mkdir(parents=True)
    user = ("--user", f"{os.getuid()}:{os.getgid()}")
    mount = ("--volume", f"{loading}:/data")
    container = _output(["docker", "run", "--detach", "--rm", *user, *mount, "--publish", "127.0.0.1::8000", IMAGE])
    try:
        _load(int(_output(["docker", "port", container, "8000"]).rpartition(":")[2]), count)
    finally:
        subprocess.run(["docker", "stop", "--time", "60", container], check=True, stdout=subprocess.DEVNULL)
    return loading.rename(folder)


def _load(port: int, count: int, batch: int = 2000) -> None:
    for _ in range(60):
        try:
            client = chromadb.HttpClient(port=port)
            break
        except ValueError:  # how the client says that nobody answers
            time.sleep(0.5)
    collection = client.create_collection(COLLECTION, embedding_function=None)
    for start in range(0, count, batch):
        collection.add(**records(start, vectors(min(batch, count - start), seed=start)))
        print(f"\rloaded {min(start + batch, count)} of {count} records", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
