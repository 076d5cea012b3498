"""A host of the fleet: ratios against the server as its image starts it, on the same cores in the same run.

python benchmarks/data_plane.py [--records 100000] [--rounds 3] [--seconds 6]
Writes docs/data-plane.md and the plots in docs/data-plane/. Ends with 1 where a goal was missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from corpus import data_directory, write_files
from loadgen import Outcome, back_to_back, periodic, poisson, zipf
from numpy.typing import NDArray
from report import Measured, page, plots
from stack import DATABASE, TARGETS, Server, asked_of_chroma, loads, molecule, place, versions

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache/bench"
#: Bodies: the first ones repeat, the others are asked once between two writes.
REPEATING, DIFFERENT = 1000, 16000
BATCHES, BATCH = 40, 100
CLIENTS = 1000
PERIOD = 10  # seconds between two questions of an agent
SLOW = 0.2  # seconds: p95 has to be below
#: Times the shortest measurement: within a few seconds a rate above what a server bears only begins to queue up.
LONG = 2.5
LEAST, STEP = 10, 1.12  # the rates that are tried: LEAST * STEP ** n


class Bench:
    """The two servers, and what is measured of them."""

    def __init__(self, seconds: float, measured: Measured) -> None:
        self.seconds = seconds
        self.measured = measured
        self.load = loads(CACHE)
        self.servers = {name: Server(target) for name, target in TARGETS.items()}
        self.collections = {name: server.collection() for name, server in self.servers.items()}
        self.guesses: dict[str, int] = {}
        self.fresh = REPEATING

    def ask(self, name: str, schedule: NDArray, connections: int = CLIENTS, **options: Any) -> Outcome:
        """Send queries."""
        path = f"{self.collections[name]}/query"
        return self.send(name, path, "queries", schedule, connections=connections, **options)

    def send(self, name: str, path: str, *what: Any, **options: Any) -> Outcome:
        """Send load to a path of the database."""
        outcome = self.load.run(TARGETS[name], DATABASE + path, *what, **options)
        self.measured.load_share = max(self.measured.load_share, outcome.processor)
        return outcome

    def different(self, count: int) -> NDArray:
        """Queries that were not asked since the last write."""
        if self.fresh + count > DIFFERENT:
            self.void()
        self.fresh += count
        return np.arange(self.fresh - count, self.fresh)

    def void(self) -> None:
        """Write to the collection: none of its cached answers may be given any more."""
        change = {"ids": ["record-0000000"], "documents": ["Written once more."]}
        for name, server in self.servers.items():
            server.post(f"{self.collections[name]}/update", change)
        self.fresh = REPEATING

    def warm(self, name: str) -> Outcome:
        """Ask everything twice that repeats: the index is in memory then, and the answers in the cache.

        Where nothing repeated for long, it keeps what it is asked again.
        """
        return self.ask(name, back_to_back([*range(REPEATING)] * 2), connections=16)

    def sustained(self, name: str) -> float:
        """The highest rate of different queries, step by step from the last one found, at which p95 is below SLOW."""
        if name not in self.guesses:
            # Not by queries that repeat: the cache would answer them, at a rate that no different ones reach.
            first = self.ask(name, back_to_back(self.different(REPEATING)), connections=16)
            self.guesses[name] = int(np.log(first.rate * 0.7 / LEAST) / np.log(STEP))
        step, passed, seconds = self.guesses[name], {}, LONG * self.seconds
        while step not in passed:
            rate = LEAST * STEP**step
            bodies = self.different(int(rate * seconds * 1.3) + 100)
            outcome = self.ask(name, poisson(rate, seconds, bodies, seed=step))
            p95 = outcome.percentile(95)
            passed[step] = not outcome.failures and p95 < SLOW
            self.measured.probes.append((name, rate, p95))
            tell(f"{name}: {rate:.0f} different queries a second", outcome)
            step += 1 if passed[step] else -1
        self.guesses[name] = max(step for step, fine in passed.items() if fine)
        return LEAST * STEP ** self.guesses[name]

    def flood(self, name: str, bodies: NDArray, what: str) -> float:
        """The rate of answers where every client asks again as soon as it is answered."""
        outcome = self.ask(name, back_to_back(bodies), closed=2 * self.seconds)
        self.measured.outcomes[what, name].append(outcome)
        tell(f"{name}: {what}, {CLIENTS} clients: {outcome.rate:.0f}/s", outcome)
        return outcome.rate

    def insert(self, name: str, number: str) -> float:
        """Records a second, four clients, into a collection of its own."""
        path = f"{self.servers[name].collection(f'insert-{number}')}/add"
        outcome = self.send(name, path, "additions", back_to_back(range(BATCHES)), connections=4, timeout=120)
        if outcome.failures:
            raise SystemExit(f"{name}: adding failed: {outcome.failures}")
        tell(f"{name}: {outcome.rate * BATCH:.0f} records a second", outcome)
        return outcome.rate * BATCH

    def compare(self, number: int) -> None:
        """One round: everything that is told as a ratio, the one server right after the other."""
        order = list(self.servers) if number % 2 else list(self.servers)[::-1]
        rates = self.measured.rates
        for name in order:
            rates["sustained", name].append(self.sustained(name))
        self.void()
        most = self.different(DIFFERENT - REPEATING)
        for name in order:
            rates["different", name].append(self.flood(name, most, "different"))
        for name in order:
            self.warm(name)
            rates["repeating", name].append(self.flood(name, zipf(REPEATING, 200_000, seed=number), "repeating"))
        # In both orders: who comes second finds the machine at rest from what came before.
        for turn, name in enumerate([*order, *order[::-1]]):
            rates["insert", name].append(self.insert(name, f"{number}-{turn}"))

    def promise(self, what: str, name: str, schedule: NDArray) -> None:
        """What is told of the fleet itself; the same load on the bare server where it can bear it."""
        outcome = self.ask(name, schedule)
        self.measured.outcomes[what, name].append(outcome)
        tell(f"{name}: {what}", outcome)

    def promises(self) -> None:
        """All of them."""
        seconds = 3 * self.seconds
        repeating = poisson(CLIENTS, seconds, zipf(REPEATING, int(CLIENTS * seconds * 1.3), seed=0), seed=0)
        self.void()
        counted: list[int] = []
        with asked_of_chroma(counted):
            self.promise("cold", "fleet", repeating)
        self.measured.cold = (counted[0], len(np.unique(repeating["body"])))
        self.warm("fleet")
        self.promise("steady", "fleet", repeating)
        for name in self.servers:
            agents = periodic(CLIENTS, PERIOD, 2 * PERIOD, self.different(2 * CLIENTS), seed=0)
            self.promise("agents", name, agents)


began = time.monotonic()


def tell(what: str, outcome: Outcome | None = None) -> None:
    """Say how far it is, and what went wrong or took the load generator's processor."""
    notes = [f"{time.monotonic() - began:4.0f} s  {what}"]
    if outcome:
        notes += [f"p{share} {outcome.percentile(share) * 1000:.0f} ms" for share in (95, 99)]
        notes += [f"load generator {outcome.processor:.2f} of a core"]
        notes += [f"{count} x {why}" for why, count in outcome.failures.items()]
    print(", ".join(notes), file=sys.stderr, flush=True)


def main() -> None:
    """Make the host, measure, write the page."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--records", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=6, help="of the shortest measurement")
    options.add_argument("--keep", action="store_true", help="leave the host as it is, and take one that was left")
    given = options.parse_args()
    measured = Measured()
    CACHE.mkdir(parents=True, exist_ok=True)
    data = data_directory(CACHE, given.records)
    write_files(CACHE, DIFFERENT, BATCHES, BATCH)
    if not given.keep:
        molecule("destroy")
    try:
        tell("making the host")
        molecule("converge")
        place(data)
        bench = Bench(given.seconds, measured)
        for name in bench.servers:
            bench.warm(name)
        for number in range(given.rounds):
            bench.compare(number)
        bench.promises()
        told = versions()
    finally:
        if not given.keep:
            molecule("destroy")
    plots(measured, ROOT / "docs/data-plane")
    text, missed = page(measured, given, told)
    (ROOT / "docs/data-plane.md").write_text(text)
    if missed:
        sys.exit(f"Missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
