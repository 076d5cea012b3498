# SPDX-License-Identifier: Apache-2.0
"""The command line of the migration: `bin/chromafleet-migrate copy|verify|export`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import migration
from .errors import MigrationError
from .files import FORMATS
from .places import Place
from .transfer import Pace, Progress, Say
from .verification import Verdict

SAY_EVERY = 5.0
DEFAULT_STATE = Path(os.environ.get("XDG_STATE_HOME", "~/.local/state")).expanduser() / "chromafleet-migrate"


def main(arguments: list[str] | None = None) -> int:
    """Run a command: 0 when everything is proved, 1 when something differs, 2 when it could not be done."""
    asked = parser().parse_args(arguments)
    try:
        return asked.run(asked)
    except MigrationError as error:
        print(f"chromafleet-migrate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("chromafleet-migrate: interrupted; the same command goes on where it was.", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="chromafleet-migrate", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="command")
    for run, sides, text in (
        (copy, ("from", "to"), "copy collections to a server and prove that every record arrived"),
        (verify, ("from", "to"), "compare every record and change nothing"),
        (export, ("from",), "write collections into JSONL or Parquet files"),
    ):
        command = commands.add_parser(run.__name__, help=text, description=text)
        command.set_defaults(run=run)
        for side in sides:
            _place_options(command, side)
        add = command.add_argument
        add("--collection", action="append", default=[], help="only this one; may be given again")
        add("--batch", type=_at_least_one, default=Pace.batch, help="records in a request (%(default)s)")
        add("--state", type=Path, default=DEFAULT_STATE, help="journal and temporary files (%(default)s)")
        add("--server-image", help="opens a data directory, by Docker; else the program chroma does")
        if run is copy:
            add("--in-flight", type=_at_least_one, default=Pace.in_flight, help="requests under way (%(default)s)")
            add("--rename", default="", metavar="NAME", help="name in the target, where one collection is copied")
            add("--only-new", action="store_true", help="refuse a collection that the target has already")
            add("--delete-extra", action="store_true", help="delete what only the target has")
        if run is export:
            add("--to", required=True, metavar="FOLDER", help="a folder for each database is made here")
            add("--format", choices=FORMATS, default="jsonl", help="(%(default)s)")
    return top


def _place_options(command: argparse.ArgumentParser, side: str) -> None:
    group = command.add_argument_group(f"where it comes {side}" if side == "from" else "where it goes to")
    add = group.add_argument
    add(f"--{side}", required=True, dest=f"{side}_location", metavar="PLACE", help="https://host[:port] or a directory")
    add(f"--{side}-tenant", default="default_tenant", metavar="NAME", help="(%(default)s)")
    add(f"--{side}-database", metavar="NAME", help="only this one; else all of the tenant, by their names")
    # A token on the command line would stand in the list of processes.
    add(f"--{side}-token-env", metavar="NAME", help="the environment variable that holds the token")
    add(f"--{side}-token-file", type=Path, metavar="FILE", help="the file that holds the token")
    add(f"--{side}-token-header", default="Authorization", help="(%(default)s; Chroma Cloud: x-chroma-token)")
    add(f"--{side}-ca-file", metavar="FILE", help="certificates to trust in place of the system's")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is no number from 1')
    return int(text)


def copy(asked: argparse.Namespace) -> int:
    """Copy collections, and prove them."""
    return _judge(migration.copy(_place(asked, "from"), _place(asked, "to"), _options(asked), _teller()))


def verify(asked: argparse.Namespace) -> int:
    """Prove collections only."""
    return _judge(migration.verify(_place(asked, "from"), _place(asked, "to"), _options(asked)))


def export(asked: argparse.Namespace) -> int:
    """Write files."""
    for progress in migration.export(_place(asked, "from"), Path(asked.to), asked.format, _options(asked), _teller()):
        print(f"{progress.collection}: {progress.written} records in {asked.to}")
    return 0


def _judge(moved: Iterator[migration.Moved]) -> int:
    """Print a line for each collection; whether all are proved."""
    proved = True
    for one in moved:
        verdict = one.verdict
        print(f"{one.database}/{verdict.collection}: {one.written} written, {describe(verdict)}", flush=True)
        proved = proved and verdict.proved
    return 0 if proved else 1


def describe(verdict: Verdict) -> str:
    """A verdict in a line."""
    parts = [f"{verdict.equal} equal"]
    for kind, ids in verdict.ids.items():
        count = getattr(verdict, kind)
        if count:
            named = f" ({', '.join(ids)}{', ...' if count > len(ids) else ''})" if ids else ""
            parts.append(f"{count} {kind}{named}")
    if verdict.deleted:
        parts.append(f"{verdict.deleted} deleted")
    return ", ".join(parts + verdict.settings)


def _teller() -> Say:
    """Tells the progress on standard error every few seconds."""
    last = time.monotonic()

    def say(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last < SAY_EVERY:
            return
        last = time.monotonic()
        remaining = max(progress.total - progress.done, 0)
        seconds = remaining / progress.rate if progress.rate else 0
        print(
            f"  {progress.collection}: {progress.done} of {progress.total}, {progress.rate:.0f} records/s, "
            f"{remaining} remain ({seconds:.0f} s)",
            file=sys.stderr,
            flush=True,
        )

    return say


def _options(asked: argparse.Namespace) -> migration.Options:
    return migration.Options(
        state=asked.state,
        collections=tuple(asked.collection),
        pace=Pace(asked.batch, getattr(asked, "in_flight", Pace.in_flight)),
        delete_extra=getattr(asked, "delete_extra", False),
        server_image=asked.server_image,
        rename=getattr(asked, "rename", ""),
        only_new=getattr(asked, "only_new", False),
    )


def _place(asked: argparse.Namespace, side: str) -> Place:
    given = {
        name: getattr(asked, f"{side}_{name}") for name in ("location", "tenant", "database", "token_header", "ca_file")
    }
    return Place(**given, token=_token(asked, side))


def _token(asked: argparse.Namespace, side: str) -> str | None:
    variable, file = getattr(asked, f"{side}_token_env"), getattr(asked, f"{side}_token_file")
    if variable and file:
        raise MigrationError(f"--{side}-token-env and --{side}-token-file are both given: give one.")
    try:
        token = file.read_text(encoding="utf-8").strip() if file else os.environ[variable] if variable else None
    except KeyError as error:
        raise MigrationError(f"The environment has no variable {variable}, which --{side}-token-env names.") from error
    except OSError as error:
        raise MigrationError(f"The token can't be read from --{side}-token-file: {error}.") from error
    if token == "":
        raise MigrationError(f"The token of --{side}-token-{'file' if file else 'env'} is empty.")
    return token
