"""Beside the refreshes, which may take long: tells the age of the data each minute, and follows the writer."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import atomic
import metrics
import nginx
import status
from faults import Fault

if TYPE_CHECKING:
    from own import Own
    from slots import Slots

LOOK = 5
REPORT = 60


def values(own: Own, slots: Slots) -> dict[str, float]:
    """The metrics. Without data there is no age; the alarm tells an age that has stopped coming."""
    known = status.read(own.status)
    found = {"ReaderRefreshFailed": float(known.get("failing", False))}
    if serving := slots.serving():
        found["DataAgeSeconds"] = max(0.0, time.time() - serving["time"])
    return found


def addresses(own: Own) -> list[str]:
    """Where the writer's endpoint is now; nothing where its name is not known just now."""
    if own.writer_addresses:
        return own.writer_addresses
    with contextlib.suppress(OSError):
        return sorted({str(one[4][0]) for one in socket.getaddrinfo(own.writer_name, own.writer_port, socket.AF_INET)})
    return []


def follow_writer(own: Own) -> None:
    """Tell nginx, and its next start."""
    if found := addresses(own):
        text = json.dumps({"addresses": found}) + "\n"
        if not own.writer.exists() or own.writer.read_text(encoding="utf-8") != text:
            atomic.write(own.writer, text)
        nginx.writer(own.nginx_port, found)


def watch(own: Own, slots: Slots) -> None:
    """Never ends."""
    reported = -REPORT
    while True:
        with contextlib.suppress(Fault, OSError):
            follow_writer(own)
        if time.monotonic() - reported >= REPORT:
            reported = time.monotonic()
            metrics.send(values(own, slots), own.tags)
        time.sleep(LOOK)


def begin(own: Own, slots: Slots) -> None:
    """Beside everything else, until the process ends."""
    threading.Thread(target=watch, args=(own, slots), daemon=True).start()
