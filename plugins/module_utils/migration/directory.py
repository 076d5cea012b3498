# SPDX-License-Identifier: Apache-2.0
"""Opens a data directory by a throw-away server.

The server gets a copy, because it migrates what it opens, and two servers on one directory lose data.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from .chroma import Server
from .connection import Connection
from .errors import MigrationError

# An old directory is migrated before the server answers.
START_SECONDS = 600
# Ends with whoever started it, also after kill -9: the pipe that is its input closes then.
TIED = 'exec 3<&0; "$@" & server=$!; { read _ <&3; kill $server; } & wait $server'


@contextlib.contextmanager
def serve(directory: Path, image: str | None, state: Path) -> Iterator[Server]:
    """A server over a copy of `directory`, which stands in `state` meanwhile.

    Runs the image with Docker, or without one the program `chroma` of the package chromadb.
    """
    refuse_unreadable(directory)
    name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    copy = state / f"copy-{name}"
    state.mkdir(parents=True, exist_ok=True)
    with (state / f"copy-{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MigrationError(
                f"Another migration reads {directory} with the state in {state}: wait for its end."
            ) from error
        try:
            _copy(directory, copy)
            with _running(copy, image, state / f"copy-{name}.log") as url:
                yield Server(Connection(url))
        finally:
            shutil.rmtree(copy, ignore_errors=True)


def refuse_unreadable(directory: Path) -> None:
    """Refuse what is no data directory, or one that a process has open."""
    database = directory / "chroma.sqlite3"
    if not database.is_file():
        old = " It is of a ChromaDB before 0.4." if (directory / "chroma-collections.parquet").exists() else ""
        raise MigrationError(
            f"{directory} holds no chroma.sqlite3.{old} Expected the data directory of ChromaDB 0.4 or later."
        )
    process = _process_with(database)
    if process:
        raise MigrationError(
            f"Process {process} has {database} open: stop that server first, or give its address instead."
        )


def _process_with(file: Path) -> str | None:
    """The id of a process that has a file open, by inode: a container has other paths."""
    wanted = file.stat()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.path.samestat(link.stat(), wanted):
                return link.parts[2]
    return None


def _copy(directory: Path, copy: Path) -> None:
    shutil.rmtree(copy, ignore_errors=True)  # of a run that was killed
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    free = shutil.disk_usage(copy.parent).free
    # Migrating an old directory rewrites its tables.
    if free < 2 * size:
        raise MigrationError(
            f"{copy.parent} has {free >> 20} MiB free, and the copy of {directory} needs {2 * size >> 20}: choose "
            "another state directory."
        )
    try:
        shutil.copytree(directory, copy)
    except (OSError, shutil.Error) as error:
        raise MigrationError(f"{directory} can't be copied to {copy}: {error}.") from error


@contextlib.contextmanager
def _running(copy: Path, image: str | None, log: Path) -> Iterator[str]:
    """The address of a server over `copy`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if image:
        owner = f"{os.getuid()}:{os.getgid()}"
        command = ["docker", "run", "--rm", "--user", owner, "--publish", f"127.0.0.1:{port}:8000"]
        command += ["--volume", f"{copy.resolve()}:/data", image]
    else:
        command = ["chroma", "run", "--path", str(copy), "--host", "127.0.0.1", "--port", str(port)]
    if not shutil.which(command[0]):
        raise MigrationError(
            f"The program {command[0]} is not on PATH: install chromadb 1.5 with pip, or Docker and give server_image."
        )
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", TIED, "sh", *command], stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url, copy, log)
            yield url
        finally:
            process.stdin.close()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, copy: Path, log: Path) -> None:
    connection = Connection(url)
    ends = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < ends:
        with contextlib.suppress(MigrationError):
            connection.call("GET", "/api/v2/heartbeat", patience=1)
            return
    last = " ".join(log.read_text(errors="replace").split()[-40:])
    raise MigrationError(f"The server over {copy} does not answer; its last words: {last or 'none'}.")
