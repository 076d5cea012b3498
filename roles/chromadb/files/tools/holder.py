"""Says that this host, and one process of it, holds a volume.

Within a host a lock does that. Between hosts a volume is held by being attached to one instance only; should it be
attached to two (EBS Multi-Attach), the mark on it tells: a page that its holder writes anew every few seconds. It is
written in place and read past the page cache, because these file systems believe that they are alone on their volume.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import time
from pathlib import Path

PAGE = 4096
INTERVAL = 2.0
# So often must a mark stay as it is before its holder counts as gone.
LOOKS = 5


class HeldError(Exception):
    """Somebody else has the volume; the text says who."""


def this_host() -> str:
    """This machine in this boot: a machine that was cloned shares the first part."""
    machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    return f"{machine}/{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()}"


class Holder:
    """The lock and the mark, in the root of the volume."""

    def __init__(self, volume: Path) -> None:
        self.volume = volume
        self.host = this_host()
        self.beats = 0
        # A host held it and never released it: what was in its memory only is lost. On the volume until it is seen to.
        self.doubt = False
        self.page = mmap.mmap(-1, PAGE)  # aligned, as direct access wants it

    def take(self) -> None:
        """Take the volume, or raise HeldError."""
        # Both descriptors stay open for the life of the process.
        self.lock = os.open(self.volume / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldError(
                f"{self.volume} is held by another process of this host (`fuser {self.volume}/lock`)"
            ) from None
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_DIRECT | os.O_DSYNC
        self.file = os.open(self.volume / "holder", flags, 0o600)
        if os.fstat(self.file).st_size < PAGE:
            self._write({})
        first = self._read()
        self.doubt = bool(first.get("doubt"))
        if first.get("host") not in (None, self.host):
            self.doubt = True
            for _ in range(LOOKS):
                time.sleep(INTERVAL)
                if self._read() != first:
                    raise HeldError(
                        f"{self.volume} is held by the host {first['host']}, which goes on marking it: stop it there"
                    )
        self.renew(taking=True)

    def renew(self, *, taking: bool = False) -> None:
        """Mark the volume again; raises HeldError when another host has taken it."""
        if not taking and self._read().get("host") != self.host:
            raise HeldError(f"{self.volume} was taken by another host")
        self.beats += 1
        self._write({"host": self.host, "beats": self.beats} | self._doubt())

    def release(self) -> None:
        """Let the next host in without waiting."""
        if self._read().get("host") == self.host:
            self._write(self._doubt())

    def _doubt(self) -> dict[str, object]:
        return {"doubt": True} if self.doubt else {}

    def _read(self) -> dict[str, object]:
        os.preadv(self.file, [self.page], 0)
        try:
            return json.loads(self.page[:].rstrip(b"\0") or b"{}")
        except ValueError:
            return {}

    def _write(self, mark: dict[str, object]) -> None:
        self.page[:] = json.dumps(mark).encode().ljust(PAGE, b"\0")
        os.pwrite(self.file, self.page, 0)
