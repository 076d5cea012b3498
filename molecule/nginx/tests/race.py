"""Writers and readers of one collection: does a read ever tell less than what was acknowledged before it?"""

from __future__ import annotations

import collections
import itertools
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

TOKENS = [f"molecule-load-{i}-0123456789abcdef" for i in range(1, 5)]
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


def connect(url, token):
    return httpx.Client(base_url=url, verify=False, timeout=30, headers={"Authorization": f"Bearer {token}"})  # noqa: S501


def new_collection(client):
    answer = client.post(COLLECTIONS, json={"name": f"c{uuid.uuid4().hex}"})
    return f"{COLLECTIONS}/{answer.json()['id']}"


@dataclass
class Outcome:
    """What came of a race."""

    writes: int = 0
    seconds: list[float] = field(default_factory=list)
    caches: collections.Counter = field(default_factory=collections.Counter)
    stale: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def percentile(self, share):
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]

    def __str__(self):
        latency = ", ".join(f"p{100 * share:g} {1000 * self.percentile(share):.0f} ms" for share in (0.5, 0.99, 1))
        return (
            f"{len(self.seconds)} reads ({dict(self.caches)}), {self.writes} writes, {len(self.stale)} stale, "
            f"{len(self.failed)} failed, {latency}"
        )


class Race:
    """Every thread has a connection of its own. What was acknowledged only grows, so that less is older."""

    def __init__(self, url, writers=3, readers=6, pause=0.02):
        self.url, self.pause = url, pause
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.outcome = Outcome()
        self.acknowledged = [0] * writers
        with connect(url, TOKENS[0]) as client:
            self.path = new_collection(client)
        self.threads = [threading.Thread(target=self.guarded, args=(self.write, i)) for i in range(writers)]
        self.threads += [threading.Thread(target=self.guarded, args=(self.read, i)) for i in range(readers)]

    def guarded(self, work, i):
        try:
            with connect(self.url, TOKENS[i % len(TOKENS)]) as client:
                work(client, i)
        except Exception as error:  # a thread that ends unseen proves nothing
            self.outcome.failed.append(repr(error))
            self.over.set()

    def write(self, client, i):
        for n in itertools.count(1):
            if self.over.wait(self.pause):
                return
            record = {"ids": [f"{i}-{n}"], "embeddings": [[i, n % 7]], "metadatas": [{"by": i}]}
            answer = client.post(f"{self.path}/upsert", json=record)
            if answer.status_code == 200:
                self.acknowledged[i] = n
                self.outcome.writes += 1
            else:
                self.outcome.failed.append(f"{answer.status_code} {answer.text}")

    def read(self, client, i):
        for n in itertools.count(i):
            if self.over.is_set():
                return
            by = n % (len(self.acknowledged) + 1) - 1
            before = list(self.acknowledged)
            began = time.monotonic()
            if by < 0:
                answer = client.get(f"{self.path}/count")
                least, told = sum(before), answer.json
            else:
                answer = client.post(f"{self.path}/get", json={"where": {"by": by}, "include": []})
                least, told = before[by], lambda: len(answer.json()["ids"])  # noqa: B023
            took = time.monotonic() - began
            if answer.status_code == 429:
                self.over.wait(float(answer.headers["Retry-After"]))
                continue
            with self.lock:
                self.outcome.seconds.append(took)
                self.outcome.caches[answer.headers.get("X-Cache", "none")] += 1
                if answer.status_code != 200:
                    self.outcome.failed.append(f"{answer.status_code} {answer.text}")
                elif told() < least:
                    self.outcome.stale.append(f"{told()} of {least} by {by}, {answer.headers['X-Cache']}")

    @contextmanager
    def running(self):
        for thread in self.threads:
            thread.start()
        try:
            yield self
        finally:
            self.over.set()
            for thread in self.threads:
                thread.join()

    def run(self, seconds):
        with self.running():
            self.over.wait(seconds)
        return self.outcome
