"""Real Chroma servers with data of every kind, for the tests of the migration."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from ansible_runs import BIN

DEFAULT = "/api/v2/tenants/default_tenant/databases/default_database"


@contextlib.contextmanager
def serving(path, program=BIN / "chroma"):
    """The address of a server over a directory."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "run", "--path", str(path), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.poll() is None and answers(url), 60, f"{command} answers")
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Addresses of an old Chroma server and a new one."""
    folder = tmp_path_factory.mktemp("servers")
    with serving(folder / "old") as old, serving(folder / "new") as new:
        yield old, new


def wait_until(condition, seconds, what, pause=0.05):
    """Wait for a condition, or fail with what was waited for."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not after {seconds} s: {what}"
        time.sleep(pause)


def answers(url):
    """Whether a server is there."""
    try:
        call(url, "GET", "/api/v2/heartbeat")
    except (OSError, urllib.error.HTTPError):
        return False
    return True


def call(url, method, path, body=None):
    """The answer of Chroma's API."""
    request = urllib.request.Request(  # noqa: S310 - a server of this test
        url + path, method=method, data=None if body is None else json.dumps(body).encode()
    )
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.loads(response.read() or "null")


def make(url, name, *, space="l2", metadata=None, **settings):
    """A collection, and the path of its routes."""
    configuration = {"hnsw": {"space": space, **settings}}
    body = {"name": name, "configuration": configuration, "metadata": metadata}
    return f"{DEFAULT}/collections/" + call(url, "POST", f"{DEFAULT}/collections", body)["id"]


def records(count, dimension=16, seed=1, first=0):
    """The body of an upsert with every kind of record: numbers of each type, long and missing documents, odd ids."""
    noise = random.Random(seed)  # noqa: S311 - test data
    numbers = range(first, first + count)
    return {
        "ids": [f"id {number}/é" for number in numbers],
        "embeddings": [[noise.gauss(0, 10 ** noise.randint(-6, 3)) for _ in range(dimension)] for _ in numbers],
        "documents": [None if number % 7 == 0 else f"document {number} \u2028 \U0001f40d" for number in numbers],
        "metadatas": [None if number % 5 == 0 else metadata(number) for number in numbers],
        "uris": [f"s3://bucket/{number}" if number % 3 == 0 else None for number in numbers],
    }


def metadata(number):
    """Metadata of each type that ChromaDB has, whole floats among them."""
    return {
        "int": number,
        "big": 2**53 + number,
        "float": float(number),
        "small": number / 3,
        "flag": number % 2 == 0,
        "text": f"{number}",
        "list": [number, number + 1],
        "words": ["a", str(number)],
    }


def fill(url, collection, count, **kinds):
    """Write records, 500 at a time."""
    for first in range(0, count, 500):
        body = records(min(500, count - first), first=first, seed=first, **kinds)
        call(url, "POST", f"{collection}/upsert", body)
