"""Brings a published snapshot into the slot that doesn't serve, proves it, and lets it take over.

Nothing that serves is touched before the switch, and the switch is one file and one request to nginx. Whoever is killed
leaves a slot behind that nobody uses; the next run begins with it anew.
"""

from __future__ import annotations

import random
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import check
import database
import nginx
import probe
import samples
from bring import bring
from chroma import Server
from faults import Fault
from repository import Repository
from status import stood_still

if TYPE_CHECKING:
    from pathlib import Path

    from own import Own
    from settings import Settings
    from slots import Slots
    from status import Status

COMPARE_SECONDS = 30


class Refresh:
    """One attempt."""

    def __init__(self, own: Own, slots: Slots, state: Status, settings: Settings, repository: Repository) -> None:
        self.own, self.slots, self.state = own, slots, state
        self.settings, self.repository = settings, repository

    def make(self, record: dict[str, Any], serving: dict[str, Any] | None) -> dict[str, Any]:
        """All steps up to the switch; what serves then."""
        slot = self.slots.other(serving)
        data, port = self.slots.data(slot), self.own.slots[slot]
        self.state.begin()
        self.state.step("copy")
        self.slots.stop(slot)
        if serving:
            self.slots.copy(serving["slot"], slot)
        self.state.step("bring")
        bring(self.settings, self.repository, record, data, self.state.progress)
        self.state.step("check")
        if damages := list(check.check(data)):
            raise Fault("broken-copy", f"{record['id']} is damaged in {len(damages)} places; the first: {damages[0]}")
        try:
            revision = self.launch(slot, port)
            self.state.step("prove")
            prove(Server(port), data, record, self.own.samples)
            # With other data it must answer otherwise; with the same it is another server.
            if serving and serving["snapshot"] == record["id"]:
                self.state.step("compare")
                compare(Server(serving["port"]), Server(port), record, self.own.samples)
            self.state.step("warm")
            warm(port, nginx.recent(self.own.nginx_port), self.own.warm_seconds)
        except (Fault, OSError, ValueError) as fault:
            memory = self.slots.killed_for_memory(slot)
            self.slots.stop(slot)
            if memory:
                text = (
                    f"The server of {record['id']} needs more memory than it may have; two have to fit while one takes "
                    "over: take an instance type with more (aws_fleet_reader_instance_types)."
                )
                raise Fault("memory", text) from None
            if isinstance(fault, Fault):
                raise
            raise Fault("no-answer", f"The server of the slot {slot} gave no answer ({fault}).") from None
        self.state.step("switch")
        return {
            "slot": slot,
            "port": port,
            "snapshot": record["id"],
            "time": stood_still(record),
            "revision": revision,
        }

    def launch(self, slot: str, port: int) -> str:
        """Start the server; the revision of its container."""
        self.state.step("start")
        revision = self.slots.revision(slot)
        self.slots.start(slot)
        if not Server(port).wait(self.own.start_timeout, lambda: self.slots.state(slot) == "active"):
            raise Fault("no-start", f"The server of the slot {slot} does not answer: `docker logs chromadb-{slot}`.")
        return revision


def prove(server: Server, data: Path, record: dict[str, Any], number: int) -> None:
    """Every collection has the records that were published, and embeddings come back."""
    published = record["collections"]
    ((found,),) = database.read(data, "SELECT count(*) FROM collections")
    if found != len(published):
        raise Fault("broken-copy", f"{record['id']} has {found} collections, but its record names {len(published)}.")
    for collection in published:
        where = f"collection {collection['name']} (tenant {collection['tenant']}, database {collection['database']})"
        try:
            count = server.ask(f"{collection['id']}/count")
        except urllib.error.HTTPError as error:
            raise Fault("broken-copy", f"{where}: the server answered {error.code}.") from None
        if count != collection["records"]:
            raise Fault("broken-copy", f"{where} has {count} records, but {collection['records']} were published.")
    for collection in random.sample(published, min(number, len(published))):
        if said := probe.check_collection(server, collection["id"], collection["dimension"]):
            raise Fault("broken-copy", f"collection {collection['name']}: {said}.")


def compare(present: Server, other: Server, record: dict[str, Any], number: int) -> None:
    """What the other server answers of the same data is what the present one does, and as soon."""
    judge(other, answers_of(present, record, number))


def answers_of(server: Server, record: dict[str, Any], number: int) -> dict[str, Any]:
    """Sample queries with their answers, and the pace, by which another server of the same data is judged."""
    names = {one["id"]: one["name"] for one in record["collections"]}
    answers = samples.ask(server, samples.choose(server, list(names), number), COMPARE_SECONDS)
    named = [{**answer, "name": names[answer["collection"]]} for answer in answers]
    return {"snapshot": record["id"], "answers": named, "pace": samples.pace(server, answers)}


def judge(server: Server, given: dict[str, Any]) -> None:
    """Whether it answers so, and as soon."""
    for answer in given["answers"]:
        if said := samples.fault_of(server, answer):
            raise Fault("worse", f"collection {answer['name']}: {said}; the data are the same.")
    if said := samples.slowness_of(server, given["answers"], given["pace"]):
        raise Fault("worse", f"The other server is slower: {said}.")


def warm(port: int, questions: list[dict[str, Any]], seconds: float) -> int:
    """Ask what clients asked lately, so that the first of them need not wait for an index to be loaded; how many."""
    until = time.monotonic() + seconds
    answered = 0
    for question in questions:
        left = until - time.monotonic()
        if left <= 0:
            break
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{question['path']}",
            question["body"] or None,
            {"Content-Type": "application/json"},
            method=question["method"],
        )
        try:
            with urllib.request.urlopen(request, timeout=max(left, 0.1)) as answer:  # noqa: S310
                answer.read()
                answered += 1
        except (OSError, ValueError):
            continue  # of a collection that is no more, perhaps: no reason not to switch
    return answered
