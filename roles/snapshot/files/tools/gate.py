"""Says whether the data may be given to another image: a new release may change it so that the old one can't read it.

First a proved snapshot is published, which is the way back. Then throw-away servers of the present image and of the
other one open a copy of the same data: every embedding that was published must be there, and the other one must answer
queries as the present one does, and as soon.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import clean
import copies
import proof
import samples
import status
from faults import Fault
from shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from settings import Settings

SECONDS = 30  # for the answers of the present image


def gate(settings: Settings, image: str, now: Callable[[], int]) -> int:
    """The command; `now` makes the snapshot. Exit code 0: the image may have the data."""
    if now() != 0:
        raise Fault("no-way-back", f"{image} does not get the data, since no snapshot of it could be made; see above.")
    record = Shelf(settings).latest()
    if record is None:
        raise Fault("no-way-back", f"{settings.place}/latest.json is gone.")
    identity = proof.identity(image)
    with status.lock(settings.status):
        try:
            found = opened(settings, record, identity)
        except Fault as fault:
            text = f"{image} does not get the data: {fault} The present server goes on, with snapshot {record['id']}."
            raise Fault(fault.kind, text) from None
        finally:
            clean.clean(settings)
    told = {"snapshot": record["id"], "image": image, "collections": len(found), "records": record["records"]}
    print(json.dumps(told))
    return 0


def opened(settings: Settings, record: dict[str, Any], image: str) -> list[dict[str, Any]]:
    """The collections, as a server of the image has them; a Fault where they are others than those of the snapshot."""
    copy = settings.checkpoints / record["id"] / "data"
    if not copy.is_dir():
        raise Fault("copy", f"{copy} is gone, another one has taken its place: start again.")
    settings.work.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = settings.work / "data"
    copies.keep(copy, kept)
    present, _ = proof.image_of(settings.server_container)
    with proof.opened(settings, kept, present) as throwaway:
        collections = [one["id"] for one in record["collections"]]
        questions = samples.choose(throwaway.server, collections, settings.samples)
        answers = samples.ask(throwaway.server, questions, SECONDS)
        pace = samples.pace(throwaway.server, answers)
    return proof.prove_published(settings, record, kept, image, lambda _: None, answers=answers, pace=pace)
