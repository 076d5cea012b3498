# SPDX-License-Identifier: Apache-2.0
"""The migration itself: copy and prove, prove only, or write files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .chroma import Server
from .errors import MigrationError
from .files import Folder
from .journal import Journal
from .places import Place, counterpart, opened
from .records import Collection, Readable
from .transfer import Pace, Progress, Say, copy_collection
from .verification import Verdict, verify_collection


@dataclass(frozen=True)
class Options:
    """What is moved and how: all collections, or those named; `state` holds the journal and what is temporary."""

    state: Path
    collections: tuple[str, ...] = ()
    pace: Pace = field(default_factory=Pace)
    delete_extra: bool = False
    server_image: str | None = None
    rename: str = ""  # the name that the one collection gets in the target
    only_new: bool = False  # refuse what the target has already, unless an interrupted run has begun it

    def called(self, collection: Collection) -> str:
        """The name of a collection in the target."""
        return self.rename or collection.name


@dataclass(frozen=True)
class Moved:
    """What happened to one collection."""

    database: str
    verdict: Verdict
    written: int = 0

    @property
    def changed(self) -> bool:
        """Whether anything was written or deleted."""
        return bool(self.written or self.verdict.deleted)


def copy(source: Place, target: Place, options: Options, say: Say) -> Iterator[Moved]:
    """Copy each collection and prove it; where the proof fails, the next copy compares every record anew."""
    server = target.connect()
    with (
        opened(source, options.server_image, options.state) as databases,
        Journal(options.state / "journal.sqlite3") as journal,
    ):
        refuse_one_for_many(databases, target)
        chosen = list(_chosen(databases, options))
        if options.only_new:
            refuse_existing(chosen, server, target, options, journal)
        for name, collection, database in chosen:
            called = options.called(collection)
            into = counterpart(server, target, name, make=True)
            progress = copy_collection(database, collection, into, called, journal, options.pace, say)
            verdict = verify_collection(
                database,
                collection,
                into,
                called,
                options.pace.batch,
                options.state,
                delete_extra=options.delete_extra,
            )
            # What is new and whole is the target's own from now on.
            if verdict.missing or verdict.different or options.only_new:
                journal.forget(into.find(called).id)
            yield Moved(name, verdict, progress.written)


def verify(source: Place, target: Place, options: Options) -> Iterator[Moved]:
    """Prove each collection and change nothing. The target may be files, too."""
    with opened(source, options.server_image, options.state) as databases:
        refuse_one_for_many(databases, target)
        server = target.connect() if target.is_server else None
        for name, collection, database in _chosen(databases, options):
            if server:
                into = counterpart(server, target, name, make=False)
            else:
                into = Folder(Path(target.location), target.database or name)
            if into:
                called = options.called(collection)
                verdict = verify_collection(database, collection, into, called, options.pace.batch, options.state)
            else:
                missing = database.count(collection)
                verdict = Verdict(collection.name, missing=missing, settings=["its database does not exist there"])
            yield Moved(name, verdict)


def export(source: Place, folder: Path, kind: str, options: Options, say: Say) -> Iterator[Progress]:
    """Write each collection into a file of `kind` (jsonl or parquet) under `folder`."""
    with opened(source, options.server_image, options.state) as databases:
        for name, collection, database in _chosen(databases, options):
            progress = Progress(f"{name}/{collection.name}", database.count(collection))
            batches = _counted(database, collection, options.pace.batch, progress, say)
            Folder(folder, name).write(collection, batches, kind)
            progress.written = progress.done
            yield progress


def _counted(database: Readable, collection: Collection, size: int, progress: Progress, say: Say) -> Iterator[list]:
    for batch in database.batches(collection, size):
        yield batch
        progress.done += len(batch)
        say(progress)


def _chosen(databases: dict[str, Readable], options: Options) -> Iterator[tuple[str, Collection, Readable]]:
    """The collections that are moved; a name that no database has is a mistake."""
    found = [
        (name, collection, database) for name, database in databases.items() for collection in database.collections()
    ]
    names = {collection.name for _, collection, _ in found}
    for name in options.collections:
        if name not in names:
            raise MigrationError(f'The source has no collection "{name}": it has {", ".join(sorted(names)) or "none"}.')
    chosen = [row for row in found if not options.collections or row[1].name in options.collections]
    if options.rename and len(chosen) != 1:
        raise MigrationError(
            f'{len(chosen)} collections can\'t all get the name "{options.rename}": name one, and its database.'
        )
    yield from chosen


def refuse_existing(
    chosen: list[tuple[str, Collection, Readable]], server: Server, target: Place, options: Options, journal: Journal
) -> None:
    """Refuse before anything is written: records of two collections must not be mixed."""
    for name, collection, _ in chosen:
        called = options.called(collection)
        into = counterpart(server, target, name, make=False)
        found = into.find(called) if into else None
        if into and found and into.count(found) and not journal.knows(found.id):
            raise MigrationError(
                f'The target\'s database {into.name} has a collection "{called}" already: give another name, or delete '
                "or rename it there."
            )


def refuse_one_for_many(databases: dict[str, Readable], target: Place) -> None:
    """Refuse to pour several databases into one: their collections may have the same names."""
    if target.database and len(databases) > 1:
        raise MigrationError(
            f"The target's database {target.database} can't take {len(databases)} databases ({', '.join(databases)}): "
            "name one of the source's."
        )
