"""The figures of benchmarks/data_plane.py as a page of docs/ and its plots."""

from __future__ import annotations

import argparse
import os
import platform
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np
from loadgen import Outcome

mpl.use("svg")
import matplotlib.pyplot as plt

COLOURS = {"bare": "#9a9a9a", "fleet": "#1f6fb4"}
NAMES = {"bare": "bare Chroma", "fleet": "the fleet's host"}


@dataclass
class Measured:
    """What a run found."""

    #: Of (what, server), one for each round.
    rates: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    outcomes: dict[tuple[str, str], list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    #: (server, rate, p95)
    probes: list[tuple[str, float, float]] = field(default_factory=list)
    #: How often Chroma was asked after the cache was voided, and how many different queries that were.
    cold: tuple[int, int] = (0, 0)
    #: The largest part of a core that the load generator took, and the load average before.
    load_share: float = 0
    busy: float = field(default_factory=lambda: os.getloadavg()[0])

    def ratio(self, what: str) -> float:
        """Of the medians."""
        return median(self.rates[what, "fleet"]) / median(self.rates[what, "bare"])

    def outcome(self, what: str, name: str) -> Outcome:
        """Of all rounds."""
        return Outcome.of_all(self.outcomes[what, name])


@dataclass(frozen=True)
class Ratio:
    """A row about both servers."""

    what: str
    title: str
    label: str  # in the plot
    unit: str
    least: float | None


RATIOS = (
    Ratio(
        "sustained",
        "Different queries over 1,000 connections, highest rate with p95 < 200 ms",
        "different queries,\np95 < 200 ms",
        "/s",
        2,
    ),
    Ratio(
        "repeating",
        "Repeating queries (Zipf over 1,000), 1,000 clients as fast as they are answered",
        "repeating queries,\n1,000 clients",
        "/s",
        15,
    ),
    Ratio(
        "different",
        "Different queries, 1,000 clients as fast as they are answered",
        "different queries,\n1,000 clients",
        "/s",
        None,
    ),
    Ratio("insert", "Insert, 4 clients, 100 records at a time", "records\ninserted", " records/s", 0.95),
)


@dataclass(frozen=True)
class Promise:
    """A row about the fleet alone."""

    what: str
    title: str
    p99: float | None  # seconds


PROMISES = (
    Promise("steady", "Repeating queries (Zipf over 1,000), 1,000 a second over 1,000 connections", 0.05),
    Promise("agents", "1,000 connected agents, each a different query every 10 s", 0.2),
    Promise("cold", "Repeating queries, 1,000 a second over 1,000 connections, nothing cached before", None),
    Promise("different", "Different queries, 1,000 clients as fast as they are answered", None),
)
#: Chroma is asked about once for each different query.
STAMPEDE = 1.1


def page(measured: Measured, given: argparse.Namespace, versions: dict[str, str]) -> tuple[str, list[str]]:
    """The page, and the titles of the goals that were missed."""
    rows = [_ratio(measured, row) for row in RATIOS] + [_promise(measured, row) for row in PROMISES] + [_cold(measured)]
    ratios, promises, cold = rows[: len(RATIOS)], rows[len(RATIOS) : -1], rows[-1]
    ran = ", ".join(f"{name} {version}" for name, version in versions.items())
    text = f"""\
# The data plane, measured

One host as the roles make it (TLS, tokens, admission, query cache) against the same server as its image starts it, on
the same cores, in the same run, on the same data. Take the ratios: the rates are this small machine's, which makes the
load too.

Made by `make bench-data-plane`: {given.records:,} records of 384 dimensions, medians of {given.rounds} rounds in which
the servers take turns. Load comes over loopback from `benchmarks/loadgen.c` ({measured.load_share:.2f} cores at most);
its connections are made before the clock starts. A latency counts from the moment at which a request was due, also
while no connection was free for it. Load average before the run: {measured.busy:.1f}.

{os.cpu_count()} cores ({_processor()}), {_gigabytes():.0f} GB, {platform.system()} {platform.release()}; {ran}.

| What | bare | fleet | ratio | wanted |
| --- | --- | --- | --- | --- |
{_lines(ratios)}

| What, through TLS and token | requests | p50 ms | p95 ms | p99 ms | told to wait | errors | wanted |
| --- | --- | --- | --- | --- | --- | --- | --- |
{_lines(promises)}

Told to wait: 429 or 503 with Retry-After. What is neither that nor an answer is an error, and in the percentiles a
request without an answer is infinitely slow.

{cold.text}

![p95 over the offered rate](data-plane/sustained.svg)

![Throughput](data-plane/rates.svg)

![Latencies](data-plane/latencies.svg)
"""
    return text, [row.title for row in rows if not row.met]


@dataclass(frozen=True)
class _Row:
    """A line of the page, and whether its goal was met."""

    title: str
    text: str
    met: bool


def _lines(rows: list[_Row]) -> str:
    return "\n".join(row.text for row in rows)


def _wanted(goal: str, met: bool) -> str:
    return goal if met else f"{goal}, **missed**"


def _ratio(measured: Measured, row: Ratio) -> _Row:
    bare, fleet = (f"{median(measured.rates[row.what, name]):,.0f}{row.unit}" for name in ("bare", "fleet"))
    ratio = measured.ratio(row.what)
    met = row.least is None or ratio >= row.least
    wanted = _wanted(f"at least {row.least}", met) if row.least else ""
    return _Row(row.title, f"| {row.title} | {bare} | {fleet} | **{ratio:.2f}** | {wanted} |", met)


def _promise(measured: Measured, row: Promise) -> _Row:
    outcome = measured.outcome(row.what, "fleet")
    goal = f"p99 < {row.p99 * 1000:.0f} ms, all answered" if row.p99 else "no error"
    met = outcome.percentile(99) < row.p99 and not outcome.failures if row.p99 else outcome.errors == 0
    percentiles = " | ".join(_milliseconds(outcome.percentile(share)) for share in (50, 95, 99))
    counts = f"{outcome.told_to_wait:,} | {outcome.errors:,}"
    text = f"| {row.title} | {len(outcome.results):,} | {percentiles} | {counts} | {_wanted(goal, met)} |"
    return _Row(row.title, text, met)


def _cold(measured: Measured) -> _Row:
    asked, different = measured.cold
    met = asked <= STAMPEDE * different
    goal = _wanted(f"wanted at most {STAMPEDE}", met)
    text = f"With nothing cached before, Chroma was asked {asked:,} times for {different:,} different queries"
    return _Row("No stampede", f"{text}: {asked / different:.2f} times each ({goal}).", met)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if np.isfinite(seconds) else "∞"


def _processor() -> str:
    names = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _gigabytes() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def plots(measured: Measured, folder: Path) -> None:
    """Draw what the page shows."""
    folder.mkdir(parents=True, exist_ok=True)
    # Without a date and with the same names in the file: a run that finds the same changes nothing.
    style = {
        "svg.hashsalt": "chromafleet",
        "font.size": 9,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "figure.figsize": (7, 3.6),
    }
    with plt.rc_context(style):
        for name, draw in {"sustained": _sustained, "rates": _rates, "latencies": _latencies}.items():
            figure, axes = plt.subplots(layout="constrained")
            draw(measured, axes)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)


def _sustained(measured: Measured, axes: plt.Axes) -> None:
    for name, colour in COLOURS.items():
        found = defaultdict(list)
        for server, rate, p95 in measured.probes:
            if server == name:
                found[rate].append(p95 * 1000)
        for rate, values in found.items():
            axes.plot([rate] * len(values), values, "o", color=colour, alpha=0.4, markersize=4)
        rates = sorted(found)
        axes.plot(rates, [median(found[rate]) for rate in rates], color=colour, label=NAMES[name])
    axes.axhline(200, color="#b03030", linestyle="--", linewidth=1)
    axes.set(xlabel="different queries offered, per second", ylabel="p95, ms", yscale="log", xlim=(0, None))
    axes.legend()


def _rates(measured: Measured, axes: plt.Axes) -> None:
    for offset, (name, colour) in zip((-0.2, 0.2), COLOURS.items(), strict=True):
        values = [median(measured.rates[row.what, name]) for row in RATIOS]
        bars = axes.bar(np.arange(len(RATIOS)) + offset, values, 0.4, color=colour, label=NAMES[name])
        if name == "fleet":
            axes.bar_label(bars, [f"{measured.ratio(row.what):.1f} x" for row in RATIOS])
    axes.set_xticks(range(len(RATIOS)), [row.label for row in RATIOS])
    axes.set(ylabel="per second", yscale="log")
    axes.margins(y=0.15)
    axes.legend()


def _latencies(measured: Measured, axes: plt.Axes) -> None:
    shown = [
        ("agents", "bare", "1,000 agents, bare Chroma", "-"),
        ("agents", "fleet", "1,000 agents", "-"),
        ("steady", "fleet", "1,000 repeating queries a second", "--"),
        ("cold", "fleet", "the same, nothing cached before", ":"),
    ]
    shares = 100 - np.geomspace(90, 0.1, 80)
    for what, name, label, line in shown:
        outcome = measured.outcome(what, name)
        axes.plot(
            100 / (100 - shares), [outcome.percentile(s) * 1000 for s in shares], line, color=COLOURS[name], label=label
        )
    axes.set(xlabel="percentile", ylabel="latency, ms", xscale="log", yscale="log")
    axes.set_xticks([2, 10, 20, 100, 1000], ["50", "90", "95", "99", "99.9"])
    axes.minorticks_off()
    axes.legend()
