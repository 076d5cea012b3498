#!/usr/bin/env python3
"""Snapshots of this cell's ChromaDB.

chromafleet-snapshot now         make one now, and tell how far it is
chromafleet-snapshot status      how the last attempt went, as JSON
chromafleet-snapshot list        the published ones
chromafleet-snapshot gate IMAGE  make one, and see that a server of another image opens it
chromafleet-snapshot restic ...  restic, with the repository and its key
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import clean
import report
import settings as files
import status
from faults import Fault
from settings import Settings

# What needs boto3 is imported where it is used: its start takes a second, and the report is sent each minute.
UNIT = "chromafleet-snapshot.service"


def now(settings: Settings) -> int:
    """Start the unit and follow it."""
    before = status.read(settings.status).get("ended")
    with subprocess.Popen(["systemctl", "start", UNIT], stderr=subprocess.DEVNULL) as started:
        told = ""
        while started.poll() is None:
            known = status.read(settings.status)
            text = f"{known.get('step')} {known.get('percent', 0)} %" if known.get("state") == "running" else ""
            if text and text != told:
                print(text, flush=True)
                told = text
            time.sleep(0.5)
    known = status.read(settings.status)
    if known.get("state") == "done" and known.get("ended") != before:
        print(status.summary(known["last"]))
        return 0
    print(known.get("error") or f"`journalctl --unit {UNIT}` tells more.", file=sys.stderr)
    return 1


def brief(settings: Settings, after: int) -> str:
    """The step and how far it is, or how it ended; `after` is when the attempt before this one ended."""
    known = status.read(settings.status)
    if known.get("state") == "running":
        return "killed" if status.interrupted(settings.status) else f"{known.get('step')} {known.get('percent', 0)} %"
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


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, default=files.FILE, help=argparse.SUPPRESS)
    verbs = parser.add_subparsers(dest="verb", required=True)
    # The last four are for systemd.
    for verb in ("now", "status", "list", "take", "clean", "report", "seed"):
        verbs.add_parser(verb)
    verbs.add_parser("brief").add_argument("--after", type=int, default=0, help=argparse.SUPPRESS)
    verbs.add_parser("gate").add_argument("image")
    verbs.add_parser("restic")
    # Behind `restic` all is restic's, options too.
    arguments = sys.argv[1:]
    mine = arguments.index("restic") + 1 if "restic" in arguments else len(arguments)
    given = parser.parse_args(arguments[:mine])
    settings = files.load(given.settings)
    try:
        match given.verb:
            case "now":
                return now(settings)
            case "status":
                print(json.dumps(status.read(settings.status), indent=1))
                return 0
            case "brief":
                print(brief(settings, given.after))
                return 0
            case "list":
                return listed(settings)
            case "clean":
                return clean.clean_up(settings)
            case "report":
                return report.run(settings)
            case "gate":
                import gate

                return gate.gate(settings, given.image, now)
            case "seed":
                import seed

                return seed.seed(settings, given.settings)
            case "restic":
                return restic(settings, given.settings, arguments[mine:])
            case _:
                import take

                return take.take(settings, given.settings)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
