"""Drives loadgen.c: what is sent when, and what came of it.

outcome = load.run(Target(443, tls=True), "/path", "bodies", poisson(100, 10, range(2000), seed=1), connections=1000)
outcome.rate, outcome.percentile(95), outcome.failures
"""

from __future__ import annotations

import json
import struct
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCE = Path(__file__).with_name("loadgen.c")
#: As in loadgen.c.
DUE = np.dtype([("at", "<f8"), ("body", "<u4")])
RESULT = np.dtype(
    [("due", "<f8"), ("latency", "<f8"), ("body", "<u4"), ("status", "<i2"), ("retry_after", "?"), ("marked", "?")]
)
#: In place of a status.
FAILURES = {-1: "connection lost", -2: "no answer in time"}


def build(program: Path) -> Path:
    """Compile the program unless it is there and newer than its source; static, to run in any container."""
    if program.exists() and program.stat().st_mtime > SOURCE.stat().st_mtime:
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    options = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-Wl,--no-warnings"]
    subprocess.run(["cc", *options, "-o", program, SOURCE, "-lssl", "-lcrypto"], check=True)
    return program


def write_bodies(path: Path, bodies: Iterable[bytes]) -> None:
    """Write what can be sent, each with its length before it."""
    with path.open("wb") as file:
        for body in bodies:
            file.write(struct.pack("<I", len(body)) + body)


def poisson(rate: float, seconds: float, bodies: Sequence[int] | NDArray, seed: int) -> NDArray:
    """Requests that come independently of each other; the bodies in their order."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds * 2) + 100)
    times = np.cumsum(gaps)
    times = times[times < seconds]
    return _schedule(times, bodies)


def periodic(clients: int, period: float, seconds: float, bodies: Sequence[int] | NDArray, seed: int) -> NDArray:
    """Clients that ask once in each period, each at its own moment of it."""
    phases = np.random.default_rng(seed).uniform(0, period, clients)
    times = np.sort((phases[:, None] + np.arange(0, seconds, period)[None, :]).ravel())
    return _schedule(times[times < seconds], bodies)


def back_to_back(bodies: Sequence[int] | NDArray) -> NDArray:
    """For a closed loop: one after another."""
    return _schedule(np.zeros(len(bodies)), bodies)


def zipf(distinct: int, length: int, seed: int) -> NDArray:
    """Of a number of bodies the first most often: the n-th in proportion to 1/n."""
    weights = 1 / np.arange(1, distinct + 1)
    return np.random.default_rng(seed).choice(distinct, length, p=weights / weights.sum())


def _schedule(times: NDArray, bodies: Sequence[int] | NDArray) -> NDArray:
    if len(bodies) < len(times):
        msg = f"{len(times)} requests are due, but there are only {len(bodies)} bodies"
        raise ValueError(msg)
    due = np.empty(len(times), DUE)
    due["at"], due["body"] = times, bodies[: len(times)]
    return due


@dataclass(frozen=True)
class Target:
    """A server on the loopback interface."""

    port: int
    tls: bool = False
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    results: NDArray
    seconds: float  # in which requests were due; where all were due at once, until the last answer
    processor: float  # share of one processor that loadgen took
    reconnects: int

    @classmethod
    def of_all(cls, outcomes: Sequence[Outcome]) -> Outcome:
        """Several runs as one."""
        return cls(
            np.concatenate([outcome.results for outcome in outcomes]),
            sum(outcome.seconds for outcome in outcomes),
            max(outcome.processor for outcome in outcomes),
            sum(outcome.reconnects for outcome in outcomes),
        )

    @property
    def failures(self) -> dict[str, int]:
        """How many had no 200 or 201, by what they had instead."""
        statuses = Counter(self.results["status"].tolist())
        return {FAILURES.get(s, str(s)): n for s, n in sorted(statuses.items()) if s not in (200, 201)}

    @property
    def told_to_wait(self) -> int:
        """How many were told 429 or 503 with Retry-After: not an answer, but no error either."""
        return int((np.isin(self.results["status"], (429, 503)) & self.results["retry_after"]).sum())

    @property
    def errors(self) -> int:
        """How many had neither an answer nor the word when to come again."""
        return sum(self.failures.values()) - self.told_to_wait

    @property
    def answered(self) -> NDArray:
        """The results with an answer."""
        return self.results[np.isin(self.results["status"], (200, 201))]

    @property
    def rate(self) -> float:
        """Answers in a second, of those that came while requests were due."""
        ends = self.answered["due"] + self.answered["latency"]
        return float((ends <= self.seconds).sum() / self.seconds)

    def percentile(self, share: float) -> float:
        """Seconds that so many percent of the requests took at most; one without an answer took for ever."""
        latencies = np.where(np.isin(self.results["status"], (200, 201)), self.results["latency"], np.inf)
        return float(np.percentile(latencies, share, method="inverted_cdf"))


@dataclass(frozen=True)
class Load:
    """Where the program runs, and how it is started."""

    folder: Path
    command: tuple[str, ...]  # up to the program
    seen_as: str  # the folder, where the program runs

    def run(
        self,
        target: Target,
        path: str,
        bodies: str,
        schedule: NDArray,
        *,
        connections: int,
        closed: float = 0,
        timeout: float = 30,
        mark: str = "",
    ) -> Outcome:
        """Send POST requests with the bodies of a file in the folder."""
        head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *target.headers]
        (self.folder / "head").write_text("".join(f"{line}\r\n" for line in head))
        schedule.tofile(self.folder / "schedule")
        options = {"port": target.port, "connections": connections, "timeout": timeout}
        options |= {name: f"{self.seen_as}/{name}" for name in ("head", "schedule", "results")}
        options |= {"bodies": f"{self.seen_as}/{bodies}"}
        options |= {"closed": closed} if closed else {}
        options |= {"mark": mark} if mark else {}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        command = [*self.command, *(["--tls"] if target.tls else []), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(done.stdout)
        results = np.fromfile(self.folder / "results", RESULT)
        seconds = closed or float(schedule["at"][-1]) or told["seconds"]
        return Outcome(results, seconds, told["processor_seconds"] / told["seconds"], told["reconnects"])
