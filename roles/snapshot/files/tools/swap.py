"""Puts another data directory in the place of the live one, so that a kill at any moment leaves one of them whole.

`data` changes in one step: the two directories exchange their names (renameat2). A journal on the volume is written
before the server is stopped, and says which directory comes in. Whoever finds it, goes on: the start of
chromadb.service (`settle`) sees that the checkpoints are those of the data, and what ends a restore (`complete`) that
the server runs. While this works it holds the lock of the volume, without which the server does not start.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import subprocess
import time
import urllib.error
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import atomic
import check
import checkpoint
import compose
import edge
from chroma import Server
from faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settings import Settings

OWNER = "restore"
UNIT = "chromadb.service"
KEPT = "data.before-"
AT_FDCWD, RENAME_EXCHANGE = -100, 2
#: Until writes go on by themselves should this die; longer than a stop and a start take.
FENCED = 1800
PATIENCE = 120
#: Collections that are counted before writes go on.
COUNTED = 50


class Volume:
    """The places on the data volume."""

    def __init__(self, settings: Settings) -> None:
        self.data, self.checkpoints, self.fence_wait = settings.data, settings.checkpoints, settings.fence_wait
        self.root = self.data.parent
        self.work = self.root / "restore"
        self.journal = self.root / "swap.json"
        self.compose = compose.FILE

    def kept(self) -> list[Path]:
        """The data that was replaced, the oldest first."""
        return sorted(self.root.glob(f"{KEPT}*"))

    def last_kept(self) -> Path:
        """What an undo brings back, or a Fault."""
        if kept := self.kept():
            return kept[-1]
        raise Fault("nothing-kept", f"No data of before a restore is in {self.root}: nothing can be undone.")


@dataclass(frozen=True)
class Journal:
    """What comes in, known by its inode, and what the directory that goes out is called at the end."""

    incoming: str
    inode: int
    checkpoints: str
    checkpoints_inode: int
    kept: str
    counts: dict[str, int]  # of the collections that come in, as far as they are known
    told: dict[str, Any]  # for the status
    images: dict[str, str] = field(default_factory=dict)  # `in` and `out`, where the data belong to different ones


def read(volume: Volume) -> Journal | None:
    """The journal of a swap that has not ended."""
    try:
        return Journal(**json.loads(volume.journal.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write(volume: Volume, journal: Journal) -> None:
    """On the disk, as a whole or not at all."""
    atomic.write(volume.journal, json.dumps(asdict(journal)))
    checkpoint.sync(volume.root)


def exchange(one: Path, other: Path) -> None:
    """Exchange the names of two directories, in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(one))
    checkpoint.sync(one.parent)
    checkpoint.sync(other.parent)


def is_in(volume: Volume, journal: Journal) -> bool:
    """Whether what shall come in is in place."""
    return volume.data.stat().st_ino == journal.inode


def move(volume: Volume, journal: Journal, *, inward: bool) -> None:
    """Have both directories in place, or both out, and the image that goes with them; nothing where it is so already.

    The data comes first: it decides. Where the image can't follow, the data goes back to the one that it belongs to.
    """
    for place, source, inode in (
        (volume.data, volume.root / journal.incoming, journal.inode),
        (volume.checkpoints, volume.root / journal.checkpoints, journal.checkpoints_inode),
    ):
        if (place.stat().st_ino == inode) != inward:
            exchange(place, source)
    if not journal.images:
        return
    try:
        compose.use(volume.compose, journal.images["in" if inward else "out"])
    except OSError as error:
        if not inward:
            raise
        move(volume, journal, inward=False)
        said = f"{volume.compose} could not be written ({error.strerror}), so that the data stays with its image."
        raise Fault("no-image", said) from None


@contextlib.contextmanager
def held(volume: Volume, patience: float) -> Iterator[None]:
    """Hold the volume as the server does, so that none is started."""
    lock = os.open(volume.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    text = f"{volume.root} is held by another process (`fuser {volume.root}/lock`); try again."
                    raise Fault("held", text) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def no_checkpoint(volume: Volume) -> Iterator[None]:
    """Let none be made meanwhile, of one data in the place of the other's."""
    lock = os.open(volume.checkpoints, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def systemctl(verb: str, unit: str = UNIT) -> str:
    """What it complains of; empty where all is well."""
    done = subprocess.run(["systemctl", verb, unit], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"`systemctl {verb} {unit}` failed")


def is_active() -> bool:
    """Whether the server runs."""
    command = ["systemctl", "--quiet", "is-active", UNIT]
    return subprocess.run(command, check=False).returncode == 0


def stage_checkpoint(volume: Volume, data: Path) -> Path:
    """A first checkpoint of what comes in: from the first moment on a crash can be recovered from."""
    folder = volume.work / "checkpoints"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    checkpoint.own(folder, data)
    made = checkpoint.new_folder(folder, data)
    target = made / "data"
    checkpoint.copy(data, target)
    try:
        until = checkpoint.prove(target)
    except checkpoint.CheckpointError as damaged:
        raise Fault("broken-copy", f"{data}: {damaged}.") from None
    said = {"id": made.name, "path": str(volume.checkpoints / made.name / "data"), "fenced_seconds": 0.0}
    checkpoint.write_proof(made, said | {"bytes": checkpoint.size_of(target), "covers": until})
    return folder


def unhealthy(settings: Settings, counts: dict[str, int]) -> str:
    """Start the server; why it does not serve what it should, or nothing."""
    if said := systemctl("start"):
        return said
    server = Server(settings.server_port)
    if not server.wait(settings.proof_timeout, is_active):
        return "it does not answer"
    try:
        for collection, count in list(counts.items())[:COUNTED]:
            if (found := server.ask(f"{collection}/count")) != count:
                return f"the collection {collection} has {found} records, but {count} were proved"
    except (urllib.error.HTTPError, OSError, ValueError) as error:
        return f"a collection does not answer ({error})"
    return ""


def swap(settings: Settings, volume: Volume, journal: Journal) -> str:
    """Swap while writes wait; why the old data is in its place again, or nothing."""
    with no_checkpoint(volume), edge.writes_held(OWNER, lasts=FENCED, wait=volume.fence_wait):
        write(volume, journal)
        if said := systemctl("stop"):
            drop(volume)
            raise Fault("no-stop", f"The server could not be stopped ({said}); nothing was changed.")
        with held(volume, PATIENCE):
            # Chroma never has its vector files written to the disk, and what goes out may come back.
            subprocess.run(["sync", "--file-system", volume.root], check=True)
            move(volume, journal, inward=True)
        return complete(settings, volume, journal)


def complete(settings: Settings, volume: Volume, journal: Journal) -> str:
    """End a swap, also one that was killed, with one of the two served; why it is not the new one, or nothing."""
    # A start of the server has seen to it that data and checkpoints belong together (`settle`). Clients may have
    # written since then: what was restored stays.
    until = time.monotonic() + settings.proof_timeout
    while not (runs := is_active()):
        try:
            with held(volume, 0):
                move(volume, journal, inward=is_in(volume, journal))
            break
        except Fault:
            # It starts, or stops, just now: whoever was killed has begun that.
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
    edge.forget()
    why = "it was interrupted before the data was exchanged"
    if is_in(volume, journal):
        why = "" if runs else unhealthy(settings, journal.counts)
        if not why:
            keep_old(volume, journal)
            return ""
        systemctl("stop")
        with held(volume, PATIENCE):
            move(volume, journal, inward=False)
        edge.forget()
    if said := unhealthy(settings, {}):
        why += f"; and the server does not serve the old data, which is in its place again, either: {said}"
    drop(volume)
    return why


def keep_old(volume: Volume, journal: Journal) -> None:
    """Give what went out its name; its checkpoints go."""
    gone = volume.root / journal.incoming
    if gone.exists():
        gone.rename(volume.root / journal.kept)
        checkpoint.sync(volume.root)
    shutil.rmtree(volume.work, ignore_errors=True)
    drop(volume)


def drop(volume: Volume) -> None:
    """The swap has ended."""
    volume.journal.unlink(missing_ok=True)
    checkpoint.sync(volume.root)


def settle(settings: Settings) -> int:
    """Before each start of the server: have the checkpoints be those of the data, which is whole in any case."""
    volume = Volume(settings)
    if journal := read(volume):
        with contextlib.suppress(Fault), held(volume, 0):
            move(volume, journal, inward=is_in(volume, journal))
    return 0


def is_whole(data: Path) -> str:
    """The first damage of a directory; empty where there is none."""
    return str(next(iter(check.check(data)), ""))
