"""Data that goes back with a release: a snapshot that its image has made is swapped in together with the image.

A release may change the data so that the one before can't read it any more. Then the way back is a snapshot of before,
and the old image has to start on it: the new one would change it again. `ask` notes it; the gate, which is asked when
the server shall be another one, swaps both; `cancel` takes it back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import atomic
import proof
import status
from faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from settings import Settings

    BringBack = Callable[[Settings, dict[str, Any]], int]


def note(settings: Settings) -> Path:
    """What shall come back."""
    return settings.request.with_name("return.json")


def digest(reference: str) -> str:
    """By which an image is known, whatever registry it came from."""
    return reference.rpartition("@")[2]


def ask(settings: Settings, image: str) -> int:
    """Note that the newest snapshot of the image shall come back with it, unless it serves already."""
    from shelf import Shelf

    if digest(proof.image_of(settings.server_container)[1]) == digest(image):
        print(json.dumps({"snapshot": "", "image": image}))
        return 0
    shelf = Shelf(settings)
    for snapshot in reversed(shelf.ids()):
        record = shelf.record(snapshot)
        if record and digest(record["chroma"]["image"]) == digest(image):
            wanted = {"snapshot": snapshot, "image": image}
            atomic.write(note(settings), json.dumps(wanted))
            print(json.dumps({**wanted, "records": record["records"]}))
            return 0
    raise Fault(
        "no-snapshot",
        f"{settings.place} has no snapshot that {image} has made, so its data can't come back: go back without "
        "rollback_data, if this image can read what is there.",
    )


def wanted(settings: Settings, image: str) -> str:
    """The snapshot that shall come back with this image; empty if none."""
    try:
        known = json.loads(note(settings).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    return known["snapshot"] if digest(known["image"]) == digest(image) else ""


def give(settings: Settings, snapshot: str, image: str, bring_back: BringBack) -> int:
    """Swap the data and the image; the present server goes on where that fails."""
    if code := bring_back(settings, {"snapshot": snapshot, "image": image}):
        return code
    note(settings).unlink()
    return 0


def cancel(settings: Settings, bring_back: BringBack) -> int:
    """Take back what was asked for: the data of before serve again, if it has been given already."""
    if note(settings).exists():
        note(settings).unlink()
        print("The data was not changed yet.")
        return 0
    last = status.read(settings.restore_status).get("last", {})
    if not last.get("image") or last.get("undone"):
        print("The data of before serve already.")
        return 0
    return bring_back(settings, {"undo": True})
