"""Proves a copy of the data: its files fit together, a throw-away server opens it, and every embedding is read back.

Counts, queries and the server's health check hide lost vectors; only an embedding that comes back proves that it is
there. The throw-away server runs on a copy of the copy, since it writes; its image, user and confinement are those of
the live one. A memory limit of its own, and being the first that the kernel ends, keep it from harming the live one.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import urllib.error
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import check
import compose
import database
import samples
from chroma import Server
from faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from settings import Settings

NAME = "chromadb-proof"
MIB = 1 << 20
HEADROOM = 256 * MIB
LEAST = 192 * MIB
#: Numbers in one answer: some 20 MB of JSON.
NUMBERS = 1_000_000
COLLECTIONS = """
    SELECT c.id, c.name, c.dimension, d.name, d.tenant_id,
           (SELECT id FROM segments WHERE collection = c.id AND scope = 'METADATA')
    FROM collections c JOIN databases d ON d.id = c.database_id ORDER BY d.tenant_id, d.name, c.name
"""
IDS = "SELECT id, embedding_id FROM embeddings WHERE segment_id = ? AND id > ? ORDER BY id LIMIT ?"


@dataclass(frozen=True)
class Collection:
    """One, as SQLite names it."""

    id: str
    name: str
    dimension: int | None
    database: str
    tenant: str
    segment: str

    def __str__(self) -> str:
        return f"collection {self.name} (tenant {self.tenant}, database {self.database})"


def image_of(container: str) -> tuple[str, str]:
    """The id of the image that a container runs, and the reference that it was asked for by.

    Where the server was never started on this host, such as over damaged data, what Compose would start.
    """
    form = "{{.Image}} {{.Config.Image}}"
    if found := docker("container", "inspect", "--format", form, container):
        image, reference = found.split()
        return image, reference
    command = ["docker-compose", "--project-name", container, "--file", compose.FILE, "config", "--images"]
    reference = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if reference and (found := docker("image", "inspect", "--format", "{{.Id}}", reference)):
        return found, reference
    raise Fault("no-server", f"There is no container {container} to take the image of: `systemctl start chromadb`.")


def identity(image: str) -> str:
    """The id of an image."""
    if found := docker("image", "inspect", "--format", "{{.Id}}", image):
        return found
    raise Fault("no-image", f"{image} is not on this host: pull it first.")


def docker(*command: str) -> str:
    """What Docker prints; nothing where it fails."""
    return subprocess.run(["docker", *command], capture_output=True, text=True, check=False).stdout.strip()


def memory(settings: Settings) -> int:
    """Bytes that the throw-away server may take."""
    if settings.proof_memory:
        return settings.proof_memory * MIB
    with Path("/proc/meminfo").open(encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return max(int(lines["MemAvailable"].split()[0]) * 1024 - HEADROOM, LEAST)


def remove() -> None:
    """End the throw-away server, also that of a run that was killed."""
    subprocess.run(["docker", "rm", "--force", "--volumes", NAME], capture_output=True, check=False)


class Throwaway:
    """The throw-away server."""

    def __init__(self, settings: Settings, data: Path, image: str) -> None:
        self.settings, self.data, self.image = settings, data, image
        self.limit = memory(settings)
        self.server = Server(settings.proof_port)
        self.loaded = 0
        self.at = "the copy"  # what is looked at

    def start(self) -> None:
        """Start it and wait until it answers."""
        remove()
        user, port, limit = self.settings.server_uid, self.settings.proof_port, self.limit
        volume = os.statvfs(self.data)
        largest = max((path.stat().st_size for path in self.data.rglob("*") if path.is_file()), default=0)
        command = [
            "docker", "run", "--detach", "--pull", "never", "--name", NAME, "--user", f"{user}:{user}", "--read-only",
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--tmpfs", "/tmp:size=256m",  # noqa: S108
            "--memory", str(limit), "--memory-swap", str(limit), "--pids-limit", "4096", "--oom-score-adj", "1000",
            "--cpu-shares", "128", "--ulimit", "nofile=16384:16384",
            # A torn segment makes the server write a file without end, on the volume of the live one.
            "--ulimit", f"fsize={largest + volume.f_bavail * volume.f_frsize // 2}",
            "--publish", f"127.0.0.1:{port}:8000",
            "--mount", f"type=bind,source={self.data},target=/data",
            "--mount", f"type=bind,source={self.settings.proof_config},target=/config.yaml,readonly",
            "--restart", "no", self.image,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Fault("proof", f"The throw-away server could not be started: {done.stderr.strip()}")
        if not self.server.wait(self.settings.proof_timeout, self.lives):
            raise Fault("broken-copy", f"The throw-away server does not open the copy: {self.end()}")
        self.loaded = 0

    def lives(self) -> bool:
        """Whether its process runs."""
        return self._inspect("{{.State.Running}}") == "true"

    def end(self) -> str:
        """How it ended, and its last words."""
        log = subprocess.run(["docker", "logs", "--tail", "3", NAME], capture_output=True, text=True, check=False)
        return f"{self._inspect('code {{.State.ExitCode}}')}, {' '.join((log.stdout + log.stderr).split())[-400:]}"

    def killed_for_memory(self) -> bool:
        """Whether the kernel ended it."""
        return self._inspect("{{.State.OOMKilled}}") == "true"

    def make_room(self, needed: int) -> None:
        """Start anew where the next collection would not fit beside those that are in memory."""
        if self.loaded and self.loaded + needed > self.limit // 2:
            self.start()
        self.loaded += needed

    def _inspect(self, form: str) -> str:
        return docker("container", "inspect", "--format", form, NAME)


def read_back(
    server: Server, data: Path, collection: Collection, progress: Callable[[int], None], *, whole: bool = True
) -> int:
    """Read every embedding of a collection, or else the first ones; the number of its records."""
    count = server.ask(f"{collection.id}/count")  # also applies what is in the queue
    read = 0
    for names in batches(data, collection):
        got = server.ask(f"{collection.id}/get", {"ids": names, "include": ["embeddings"]})
        vectors = got.get("embeddings") or []
        # JSON has no infinities, and a sum that is none is as good as looking at each number.
        sound = sum(
            1
            for vector in vectors
            if vector and collection.dimension in (None, len(vector)) and math.isfinite(sum(vector))
        )
        if sound < len(names):
            raise Fault("broken-copy", f"{collection}: {sound} of {len(names)} embeddings came back.")
        read += sound
        progress(sound)
        if not whole:
            return count
    if read != count:
        raise Fault("broken-copy", f"{collection}: it counts {count} records, but {read} embeddings came back.")
    return read


def batches(data: Path, collection: Collection) -> Iterator[list[str]]:
    """The ids of a collection; by ids, because Chroma counts its way to an offset."""
    size = min(1000, max(1, NUMBERS // max(collection.dimension or 1, 1)))
    last = 0
    while rows := database.read(data, IDS, (collection.segment, last, size)):
        last = rows[-1][0]
        yield [name for _, name in rows]


@contextmanager
def opened(settings: Settings, copy: Path, image: str) -> Iterator[Throwaway]:
    """A server of the image that has a copy of the copy, which is left as it is; a Fault where it gives no answer."""
    data = copy.parent / "proof"
    command = ["cp", "--archive", "--reflink=auto", str(copy), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        kind = "disk-full" if "No space left" in done.stderr else "proof"
        advice = "the data volume has no room for a copy to be proved: enlarge it (aws_fleet_data_volume_size)"
        raise Fault(kind, f"{done.stderr.strip().splitlines()[-1]}; {advice}.")
    # Before any server opens it: on a torn segment it would write without end.
    if damages := list(check.check(data)):
        raise Fault("broken-copy", f"The copy is damaged in {len(damages)} places, of which the first is: {damages[0]}")
    throwaway = Throwaway(settings, data, image)
    throwaway.start()
    try:
        yield throwaway
    except urllib.error.HTTPError as error:
        said = error.read(300).decode(errors="replace")
        raise Fault("broken-copy", f"{throwaway.at}: the throw-away server answered {error.code}: {said}") from None
    except (OSError, ValueError) as error:
        if throwaway.killed_for_memory():
            text = (
                f"The throw-away server needs more than {throwaway.limit // MIB} MiB of memory for {throwaway.at}; "
                "take an instance with more memory, so that the largest collection fits in twice, or set "
                "snapshot_proof_memory."
            )
            raise Fault("memory", text) from None
        raise Fault(
            "broken-copy", f"{throwaway.at}: the throw-away server gave no answer ({error}): {throwaway.end()}"
        ) from None
    finally:
        remove()
        shutil.rmtree(data, ignore_errors=True)


def prove(
    settings: Settings,
    copy: Path,
    image: str,
    answers: list[dict[str, Any]],
    progress: Callable[[float], None],
    *,
    whole: bool = True,
    pace: float | None = None,
) -> list[dict[str, Any]]:
    """Prove a copy, or raise a Fault; the collections with their counts. The copy itself is left as it is.

    Without `whole`, only the first embeddings of each collection are read. With a `pace`, which a server of another
    image has with the same data, this one must not be slower.
    """
    with opened(settings, copy, image) as throwaway:
        data = throwaway.data
        found = [Collection(*row) for row in database.read(data, COLLECTIONS)]
        sizes = dict(database.read(data, "SELECT segment_id, count(*) FROM embeddings GROUP BY segment_id"))
        total, done_records = max(sum(sizes.values()), 1), 0
        by_id = {answer["collection"]: answer for answer in answers}
        records = []

        def advance(number: int) -> None:
            nonlocal done_records
            done_records += number
            progress(min(done_records / total, 1.0))

        for collection in found:
            throwaway.at = str(collection)
            throwaway.make_room(sizes.get(collection.segment, 0) * (collection.dimension or 0) * 8)
            count = read_back(throwaway.server, data, collection, advance, whole=whole)
            answer = by_id.pop(collection.id, None)
            if answer and (said := samples.fault_of(throwaway.server, answer)):
                raise Fault("broken-copy", f"{collection}: {said}.")
            place = {"tenant": collection.tenant, "database": collection.database, "name": collection.name}
            records.append({**place, "id": collection.id, "dimension": collection.dimension, "records": count})
        if by_id:
            raise Fault(
                "broken-copy", f"{len(by_id)} collections that the live server answered for are not in the copy."
            )
        if pace is not None and (said := samples.slowness_of(throwaway.server, answers, pace)):
            raise Fault("slower", f"{said[0].upper()}{said[1:]}.")
    return records


def prove_published(
    settings: Settings,
    record: dict[str, Any],
    copy: Path,
    image: str,
    progress: Callable[[float], None],
    *,
    whole: bool = True,
    answers: list[dict[str, Any]] | None = None,
    pace: float | None = None,
) -> list[dict[str, Any]]:
    """Prove what has been published before: its collections are those of the record, too."""
    found = prove(settings, copy, image, answers or [], progress, whole=whole, pace=pace)
    if said := differs(record, found):
        raise Fault("broken-copy", f"The snapshot {record['id']} is not what its record says: {said}.")
    return found


def differs(record: dict[str, Any], found: list[dict[str, Any]]) -> str:
    """How the collections that were read back differ from those of the record; empty where they don't."""
    wanted = {one["id"]: one for one in record["collections"]}
    for one in found:
        was = wanted.pop(one["id"], None)
        if was is None:
            return f"the collection {one['name']} is not in the record"
        if was["records"] != one["records"]:
            return f"the collection {one['name']} has {one['records']} records, and the record says {was['records']}"
        if was != one:
            return f"the collection {one['name']} is {one}, and the record says {was}"
    return f"{len(wanted)} collections of the record are missing" if wanted else ""
