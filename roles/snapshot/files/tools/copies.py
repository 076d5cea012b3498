"""Copies of the data, made while writes wait, and what is in them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edge
from faults import Fault

if TYPE_CHECKING:
    from settings import Settings

TRY_AGAIN = 75  # of chromafleet-fenced
#: As checkpoint.py has it.
FENCE_OWNER = "checkpoint"


def make(settings: Settings, asked: list[str]) -> dict[str, Any]:
    """Copy the data; `asked` is run while writes still wait. What checkpoint.py says of the copy."""
    command = [*settings.checkpoint, "--while-fenced", *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = " | ".join(line.strip() for line in done.stderr.splitlines() if line.strip())[-600:]
    if done.returncode == TRY_AGAIN:
        raise Fault("fence", f"Writes could not be held back ({said}); the next snapshot tries again by itself.")
    if done.returncode != 0:
        if "No space left" in said or "of free space" in said:
            raise Fault("disk-full", f"The data volume has no room for a copy: {said}")
        raise Fault("copy", f"No whole copy of the data could be made: {said}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def keep(copy: Path, place: Path) -> None:
    """Hard links, which stay when the checkpoint goes: nobody writes to a copy, and it takes no room a second time."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(copy, place, copy_function=os.link)
    owner = copy.stat()
    for folder in (place, *filter(Path.is_dir, place.rglob("*"))):
        os.chown(folder, owner.st_uid, owner.st_gid)


def release(settings: Settings) -> None:
    """Let writes go on that a killed run has left waiting; the fence opens by itself, but only after a while."""
    checkpoints = settings.checkpoints
    if not checkpoints.is_dir():
        return
    held = os.open(checkpoints, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another copy is being made, and the fence is its own
    else:
        edge.release(FENCE_OWNER)
    finally:
        os.close(held)


def sums(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and checksum of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[str(path.relative_to(folder))] = {"bytes": path.stat().st_size, "sha256": digest}
    return found


def difference(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """The first files that differ; empty where none does."""
    names = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    return f"{len(names)} files differ, of which the first is {names[0]}" if names else ""
