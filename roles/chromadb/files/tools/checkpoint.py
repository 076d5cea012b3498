#!/usr/bin/env python3
"""Makes a copy of the data on its own volume, proves it, and purges the queue of what such copies cover.

Writes wait at nginx for the copy, and reads go on; XFS shares the blocks, so that it takes a moment. A checkpoint is
there once its checkpoint.json is, which is written last: what a kill leaves is removed by the next run. A copy that is
damaged is removed as well, and nothing is purged then.

Prints a line of JSON: id, path of the copied data, fenced_seconds, bytes. A command after --while-fenced runs while
writes still wait, with the copy's path in CHECKPOINT; what it prints goes to standard error.

Exit code: 0 made, 3 the copy is damaged, 75 writes could not be held back (try again), 1 anything else.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import check
import metrics
import wal

PROOF = "checkpoint.json"
FENCED = Path("/usr/local/sbin/chromafleet-fenced")
TRY_AGAIN = 75
ATTEMPTS = 5
COPY = ("cp", "--recursive", "--reflink=auto", "--preserve=mode,ownership,timestamps")
# Shared blocks cost nothing yet, but the list of them does.
SHARE_OF_REFLINK = 0.05
MARGIN = 64 << 20


class CheckpointError(Exception):
    """No checkpoint was made; the text says why and what to do."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def proved(checkpoints: Path) -> list[Path]:
    """The data of each finished checkpoint, the newest first."""
    return [proof.parent / "data" for proof in sorted(checkpoints.glob(f"*/{PROOF}"), reverse=True)]


def index_files(data: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of all files of vector segments."""
    found = {}
    for folder in check.segment_directories(data):
        for file in folder.iterdir():
            state = file.stat()
            found[f"{folder.name}/{file.name}"] = (state.st_size, state.st_mtime_ns)
    return found


def size_of(data: Path) -> int:
    """Bytes on the disk; a torn file may seem larger than it is, and SQLite's journal comes and goes."""
    size = 0
    for path in data.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.lstat().st_blocks * 512
    return size


def shares_blocks(checkpoints: Path) -> bool:
    """Whether a copy shares its blocks with the original, as on XFS."""
    probe, copy = checkpoints / ".probe", checkpoints / ".probe-copy"
    probe.write_bytes(b"\0" * 4096)
    try:
        done = subprocess.run(["cp", "--reflink=always", probe, copy], capture_output=True, check=False)
    finally:
        probe.unlink()
        copy.unlink(missing_ok=True)
    return done.returncode == 0


def check_room(data: Path, checkpoints: Path) -> None:
    """Refuse where the volume would be filled."""
    size = size_of(data)
    shared = shares_blocks(checkpoints)
    needed = int(size * SHARE_OF_REFLINK if shared else size) + MARGIN
    free = shutil.disk_usage(checkpoints).free
    if free < needed:
        raise CheckpointError(
            f"{checkpoints} has {free >> 20} MiB of free space, but a copy of {size >> 20} MiB of data "
            f"{'with shared blocks ' if shared else 'needs all of its blocks on this file system and '}"
            f"takes {needed >> 20} MiB; enlarge the volume, lower --keep (chromadb_checkpoints_kept), or, "
            "where it is ext4, use xfs"
        )


def copy(data: Path, target: Path) -> None:
    """Copy the data; again where a read made Chroma write its vector files meanwhile."""
    for _ in range(ATTEMPTS):
        before = index_files(data)
        target.mkdir(mode=0o700)
        own(target, data)
        # SQLite first: vector files that are younger than what it tells take what is replayed to them a second time.
        # While this holds the lock nobody writes into the file; it is read by another process, since closing it in
        # this one would end the lock.
        with wal.connect(data) as database:
            database.execute("BEGIN")
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            subprocess.run([*COPY, data / check.DATABASE, target], check=True)
        if folders := check.segment_directories(data):
            done = subprocess.run([*COPY, *folders, target], capture_output=True, text=True, check=False)
            copied = done.returncode == 0
        else:
            copied = True
        if copied and index_files(data) == before:
            shutil.copystat(data, target)
            return
        shutil.rmtree(target)
    raise CheckpointError(f"the vector files in {data} changed during each of {ATTEMPTS} copies", TRY_AGAIN)


def copy_fenced(arguments: argparse.Namespace, target: Path) -> None:
    """Copy in a process of its own, while nginx holds writes back if there is one on this host."""
    command = [sys.executable, __file__, "--data", arguments.data, "--checkpoints", arguments.checkpoints]
    command += ["--copy-to", target]
    if arguments.while_fenced:
        command += ["--while-fenced", *arguments.while_fenced]
    if arguments.fenced.exists():
        limits = ["--hold", arguments.hold, "--for", arguments.fenced_for, "--wait", arguments.wait]
        command = [arguments.fenced, *limits, "checkpoint", "--", *command]
    done = subprocess.run(list(map(str, command)), stdout=sys.stderr, check=False)
    if done.returncode:
        raise CheckpointError(f"`{' '.join(map(str, command))}` failed with {done.returncode}", done.returncode)


def prove(target: Path) -> dict[str, int]:
    """Refuse a damaged copy; what it covers of each collection."""
    if found := list(check.check(target)):
        raise CheckpointError(
            f"the copy is damaged in {len(found)} places, of which the first is: {found[0]}", check.DAMAGED
        )
    with wal.connect(target) as database:
        until = wal.covered(database)
    # It was read once, and the server needs the page cache more.
    for file in filter(Path.is_file, target.rglob("*")):
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return until


def write_proof(folder: Path, proof: dict[str, object]) -> None:
    """Last of all, and at once."""
    subprocess.run(["sync", "--file-system", folder], check=True)
    new = folder / f"{PROOF}.new"
    with new.open("w", encoding="utf-8") as file:
        file.write(json.dumps(proof) + "\n")
        file.flush()
        os.fsync(file.fileno())
    own(new, folder / "data")
    new.replace(folder / PROOF)
    sync(folder)


def sync(folder: Path) -> None:
    """Have the names in a directory on the disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def own(path: Path, as_of: Path) -> None:
    """Whoever made it: the job, which is not root, must be able to remove it."""
    if os.geteuid() == 0:
        shutil.chown(path, as_of.stat().st_uid, as_of.stat().st_gid)


def remove(folder: Path) -> None:
    """Remove a checkpoint, the proof first."""
    (folder / PROOF).unlink(missing_ok=True)
    shutil.rmtree(folder)


def remove_unfinished(checkpoints: Path) -> None:
    """What a run that was killed has left."""
    for folder in checkpoints.iterdir():
        if folder.is_dir() and not (folder / PROOF).exists():
            print(f"Removed {folder}, which was never finished.", file=sys.stderr)
            remove(folder)


def new_folder(checkpoints: Path, data: Path) -> Path:
    """The directory of this run."""
    while True:
        folder = checkpoints / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            time.sleep(0.1)
        else:
            own(folder, data)
            return folder


def make(arguments: argparse.Namespace) -> dict[str, object]:
    """Everything, one run at a time; the finished checkpoint."""
    checkpoints: Path = arguments.checkpoints
    lock = os.open(checkpoints, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    remove_unfinished(checkpoints)
    check_room(arguments.data, checkpoints)
    folder = new_folder(checkpoints, arguments.data)
    target = folder / "data"
    began = time.monotonic()
    try:
        copy_fenced(arguments, target)
        fenced = time.monotonic() - began
        until = prove(target)
    except BaseException:
        remove(folder)
        raise
    made: dict[str, object] = {
        "id": folder.name, "path": str(target), "fenced_seconds": round(fenced, 3), "bytes": size_of(target),
    }  # fmt: skip
    write_proof(folder, made | {"covers": until})
    for old in proved(checkpoints)[arguments.keep :]:
        remove(old.parent)
    purged = wal.purge(arguments.data, proved(checkpoints))
    print(
        f"Checkpoint {folder.name}: writes waited {fenced:.2f} s, made in {time.monotonic() - began:.1f} s; "
        f"{purged} records of the queue were purged.",
        file=sys.stderr,
    )
    return made


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="data directory of the running server")
    parser.add_argument("--checkpoints", type=Path, required=True, help="directory of the copies, on the same volume")
    parser.add_argument("--keep", type=int, default=2, help="number of checkpoints that are kept")
    parser.add_argument("--tags", default="", help="tags of the metric")
    parser.add_argument("--fenced", type=Path, default=FENCED, help="program of nginx's role that holds writes back")
    parser.add_argument("--hold", type=int, default=60, help="seconds that a write waits before it is told 503")
    parser.add_argument("--fenced-for", type=int, default=120, help="seconds that the copy may take")
    parser.add_argument("--wait", type=int, default=60, help="seconds that writes under way have to end")
    parser.add_argument("--copy-to", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--while-fenced", nargs=argparse.REMAINDER, default=[], help="command to run after the copy")
    arguments = parser.parse_args()
    if arguments.keep < 1:
        parser.error(f"--keep is {arguments.keep}, but at least 1 checkpoint must be kept")
    try:
        if arguments.copy_to:
            copy(arguments.data, arguments.copy_to)
            if not arguments.while_fenced:
                return 0
            environment = os.environ | {"CHECKPOINT": str(arguments.copy_to)}
            return subprocess.run(arguments.while_fenced, env=environment, check=False).returncode
        arguments.checkpoints.mkdir(mode=0o700, exist_ok=True)
        made = make(arguments)
    except (CheckpointError, OSError, sqlite3.Error, subprocess.CalledProcessError) as error:
        print(f"No checkpoint of {arguments.data} was made: {error}.", file=sys.stderr)
        if not arguments.copy_to:
            metrics.send({"CheckpointFailed": 1}, arguments.tags)
        return getattr(error, "code", 1)
    metrics.send({"CheckpointFailed": 0}, arguments.tags)
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
