#!/usr/bin/env python3
"""Snapshots of this cell's ChromaDB.

chromafleet-snapshot now                               make one now, and tell how far it is
chromafleet-snapshot status [snapshot|restore|drill]   how the last attempt went, as JSON
chromafleet-snapshot list                              the published ones
chromafleet-snapshot restore [--id ID|--before TIME]   bring one back, in the place of the live data
chromafleet-snapshot undo                              swap the data back that the last restore replaced
chromafleet-snapshot discard                           remove what restores have replaced
chromafleet-snapshot drill                             show that the newest one can be restored
chromafleet-snapshot gate IMAGE                        make one, and see that a server of another image opens it
chromafleet-snapshot return IMAGE                      have the newest one that an image has made come back with it
chromafleet-snapshot return --cancel                   or not, or have what it replaced again
chromafleet-snapshot restic ...                        restic, with the repository and its key
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clean
import report
import settings as files
import status
from faults import Fault
from settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

# What needs boto3 is imported where it is used: its start takes a second, and the report is sent each minute.
KINDS = ("snapshot", "restore", "drill")


def unit(kind: str) -> str:
    """What does it."""
    return f"chromafleet-{kind}.service"


def place(settings: Settings, kind: str) -> Path:
    """Where it tells how it went."""
    return {"restore": settings.restore_status, "drill": settings.drill_status}.get(kind, settings.status)


def follow(settings: Settings, kind: str, summary: Callable[[dict[str, Any]], str]) -> int:
    """Start the unit and follow it."""
    file = place(settings, kind)
    before = status.read(file).get("ended")
    with subprocess.Popen(["systemctl", "start", unit(kind)], stderr=subprocess.DEVNULL) as started:
        told = ""
        while started.poll() is None:
            known = status.read(file)
            text = f"{known.get('step')} {known.get('percent', 0)} %" if known.get("state") == "running" else ""
            if text and text != told:
                print(text, flush=True)
                told = text
            time.sleep(0.5)
    known = status.read(file)
    if known.get("state") == "done" and known.get("ended") != before:
        print(summary(known["last"]))
        return 0
    print(known.get("error") or f"`journalctl --unit {unit(kind)}` tells more.", file=sys.stderr)
    return 1


def bring_back(settings: Settings, values: dict[str, Any]) -> int:
    """Have the unit restore what is asked for."""
    import restore

    request = restore.Request(**{name: value for name, value in values.items() if value})
    restore.look(settings, request)
    restore.leave(settings, request)
    return follow(settings, "restore", restore.summary)


def brief(settings: Settings, kind: str, after: int) -> str:
    """The step and how far it is, or how it ended; `after` is when the attempt before this one ended."""
    file = place(settings, kind)
    known = status.read(file)
    if known.get("state") == "running":
        if status.interrupted(file, settings.status):
            return "killed"
        return "open" if known.get("step") == "open" else f"{known.get('step')} {known.get('percent', 0)} %"
    return known.get("state", "") if known.get("ended", 0) > after else "begins"


def restic(settings: Settings, file: Path, arguments: list[str]) -> int:
    """Become restic."""
    from repository import Repository
    from shelf import Shelf

    repository = Repository(settings, file, Shelf(settings).s3.meta.endpoint_url)
    os.execvpe("restic", ["restic", *arguments], repository.environment | repository.by_command)  # noqa: S606


def listed(settings: Settings) -> int:
    """The published ones, the newest last."""
    from shelf import Shelf

    shelf = Shelf(settings)
    for snapshot in shelf.ids():
        if record := shelf.record(snapshot):
            size, version = f"{record['bytes'] / 1e6:10.1f} MB", record["chroma"]["version"]
            print(f"{snapshot}  {size}  {record['records']:10} records  ChromaDB {version}")
    return 0


def newest(settings: Settings) -> int:
    """The id of the newest one; nothing where there is none."""
    from shelf import Shelf

    print((Shelf(settings).latest() or {}).get("id", ""))
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, default=files.FILE, help=argparse.SUPPRESS)
    verbs = parser.add_subparsers(dest="verb", required=True)
    # The last nine are for systemd and the playbooks.
    plain = (
        "now",
        "list",
        "undo",
        "discard",
        "drill",
        "take",
        "clean",
        "report",
        "newest",
        "seed",
        "settle",
        "restored",
        "ended",
        "drilled",
    )
    for verb in (*plain, "look"):
        verbs.add_parser(verb)
    for verb in ("status", "brief"):
        verbs.add_parser(verb).add_argument("of", nargs="?", choices=KINDS, default="snapshot")
    verbs.choices["brief"].add_argument("--after", type=int, default=0, help=argparse.SUPPRESS)
    verbs.add_parser("gate").add_argument("image")
    back = verbs.add_parser("return").add_mutually_exclusive_group(required=True)
    back.add_argument("image", nargs="?")
    back.add_argument("--cancel", action="store_true")
    which = verbs.add_parser("restore").add_mutually_exclusive_group()
    which.add_argument("--id", default="", help="one of `chromafleet-snapshot list`")
    which.add_argument("--before", default="", help="a time in UTC (ISO 8601): the newest that is not younger")
    verbs.add_parser("restic")
    # Behind `restic` all is restic's, options too.
    arguments = sys.argv[1:]
    mine = arguments.index("restic") + 1 if "restic" in arguments else len(arguments)
    given = parser.parse_args(arguments[:mine])
    settings = files.load(given.settings)
    try:
        return act(settings, given, arguments[mine:])
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1


def act(settings: Settings, given: argparse.Namespace, rest: list[str]) -> int:
    """Do what is asked for."""
    match given.verb:
        case "now":
            return follow(settings, "snapshot", status.summary)
        case "status":
            print(json.dumps(status.read(place(settings, given.of)), indent=1))
        case "brief":
            print(brief(settings, given.of, given.after))
        case "list":
            return listed(settings)
        case "newest":
            return newest(settings)
        case "clean":
            return clean.clean_up(settings)
        case "report":
            return report.run(settings)
        case "restic":
            return restic(settings, given.settings, rest)
        case "take":
            import take

            return take.take(settings, given.settings)
        case "gate":
            import gate
            import returns

            if snapshot := returns.wanted(settings, given.image):
                return returns.give(settings, snapshot, given.image, bring_back)
            return gate.gate(settings, given.image, lambda: follow(settings, "snapshot", status.summary))
        case "return":
            import returns

            return returns.cancel(settings, bring_back) if given.cancel else returns.ask(settings, given.image)
        case "seed":
            import seed

            return seed.seed(settings, given.settings)
        case "settle":
            import swap

            return swap.settle(settings)
        case "drill" | "drilled":
            import drill

            if given.verb == "drill":
                return follow(settings, "drill", drill.summary)
            return drill.drill(settings, given.settings)
        case _:
            return restoring(settings, given)
    return 0


def restoring(settings: Settings, given: argparse.Namespace) -> int:
    """What has to do with a restore."""
    import restore

    match given.verb:
        case "restore":
            return bring_back(settings, {"snapshot": given.id, "before": given.before})
        case "undo":
            return bring_back(settings, {"undo": True})
        case "discard":
            return restore.discard(settings)
        case "look":
            print(json.dumps(restore.look(settings, restore.parse(sys.stdin.read()))))
        case "restored":
            return restore.restore(settings, given.settings)
        case "ended":
            return restore.end(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
