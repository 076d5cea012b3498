"""The restic repository of the cell, <cell>/restic in the bucket.

The key comes from Secrets Manager, and lives in the memory of this process only; the credentials are those of the
instance. Data is always read from S3 when it is read back, never from a cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aws
import faults
import settings as files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from settings import Settings

NO_REPOSITORY, LOCKED, WRONG_KEY = 10, 11, 12
BLOCK = 1 << 20


class Repository:
    """What restic is asked to do."""

    def __init__(self, settings: Settings, settings_file: Path, endpoint: str) -> None:
        self.settings = settings
        # As boto3 knows it, so that every partition and every endpoint of one's own is right.
        self.url = f"s3:{endpoint}/{settings.bucket}/{settings.cell}/restic"
        self.by_command = {"RESTIC_PASSWORD_COMMAND": f"/usr/bin/python3 {files.TOOLS}/password.py {settings_file}"}
        self.key = ""
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("RESTIC_")} | {
            "RESTIC_REPOSITORY": self.url,
            "RESTIC_CACHE_DIR": str(settings.cache),
            "RESTIC_PROGRESS_FPS": "1",
            "TZ": "UTC",
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
        }

    @contextmanager
    def keyed(self) -> Iterator[dict[str, Any]]:
        """What a restic needs to be started with: the key is asked for once, and handed over through a pipe."""
        self.key = self.key or aws.password(self.settings)
        reading, writing = os.pipe()
        try:
            with open(writing, "w", encoding="utf-8") as pipe:
                pipe.write(self.key)
            environment = self.environment | {"RESTIC_PASSWORD_FILE": f"/dev/fd/{reading}"}
            yield {"env": environment, "pass_fds": (reading,)}
        finally:
            os.close(reading)

    def run(self, *arguments: str, cwd: Path | None = None, good: tuple[int, ...] = (0,)) -> tuple[int, str]:
        """Exit code and output; a Fault when the code is none of the good ones."""
        with self.keyed() as keyed:
            done = subprocess.run(["restic", *arguments], **keyed, cwd=cwd, capture_output=True, text=True, check=False)
        if done.returncode not in good:
            raise self.fault(done.returncode, done.stderr)
        return done.returncode, done.stdout

    def open(self, *, expected: bool) -> None:
        """See that the key opens the repository, or make it; `expected`: something published lies in it."""
        code, _ = self.run("--quiet", "--no-cache", "cat", "config", good=(0, NO_REPOSITORY))
        if code == NO_REPOSITORY and expected:
            raise faults.Fault(
                "repository-gone",
                f"{self.settings.place}/restic is gone, although {self.settings.place}/latest.json names a snapshot in "
                "it; bring it back from the bucket's versions, or delete latest.json to begin a new one.",
            )
        if code == NO_REPOSITORY:
            self.run("--quiet", "init")
        # Of processes of this host that are no more, and of those that have not been heard of for half an hour.
        self.run("--quiet", "unlock")

    def backup(self, folder: Path, snapshot: str, when: str, progress: Callable[[float], None]) -> dict[str, Any]:
        """Store a directory; what restic says at the end."""
        limit = ["--limit-upload", str(self.settings.upload_limit)] if self.settings.upload_limit else []
        command = ["--json", *limit, "backup", "--host", self.settings.cell, "--tag", snapshot, "--time", when, "."]
        return self.followed(command, folder, progress)

    def restore(self, snapshot: str, into: Path, progress: Callable[[float], None]) -> dict[str, Any]:
        """Bring a directory to a snapshot's state, whatever is in it; what restic says at the end."""
        command = ["--json", "--no-lock", "restore", snapshot, "--target", ".", "--overwrite", "if-changed", "--delete"]
        try:
            return self.followed(command, into, progress)
        except faults.Fault as fault:
            if fault.kind != "restic":
                raise
            raise faults.Fault(
                "damaged",
                f"A part of the snapshot can't be read back ({fault}). `chromafleet-snapshot restic check --read-data` "
                "names the damaged packs; another snapshot may not need them (`chromafleet-snapshot list`).",
            ) from None

    def followed(self, arguments: list[str], folder: Path, progress: Callable[[float], None]) -> dict[str, Any]:
        """Run restic in a directory and tell how far it is; its summary."""
        summary: dict[str, Any] = {}
        with (
            self.keyed() as keyed,
            subprocess.Popen(
                ["restic", *arguments],
                **keyed,
                cwd=folder,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            said: list[str] = []
            for line in process.stdout or []:
                try:
                    told = json.loads(line)
                except ValueError:
                    said.append(line)
                    continue
                if told.get("message_type") == "summary":
                    summary = told
                elif told.get("message_type") == "status":
                    progress(told.get("percent_done", 0.0))
                elif told.get("message_type") == "error":
                    said.append(f"{told.get('item')}: {told.get('error', {}).get('message')}\n")
                elif told.get("message_type") == "exit_error":
                    # It only counts them.
                    said.insert(0, f"{told.get('message', '').strip()}\n")
                else:
                    said.append(line)
        if process.returncode != 0 or not summary:
            raise self.fault(process.returncode, "".join(said))
        return summary

    def read_back(self, snapshot: str) -> dict[str, dict[str, Any]]:
        """Size and checksum of each file of a snapshot, as S3 has it now; nothing is written to the disk."""
        found: dict[str, dict[str, Any]] = {}
        command = ["restic", "--quiet", "--no-cache", "--no-lock", "dump", "--archive", "tar", snapshot, "/"]
        with (
            self.keyed() as keyed,
            subprocess.Popen(command, **keyed, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
        ):
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                    for member in archive:
                        if member.isfile():
                            sums = hashlib.sha256()
                            file = archive.extractfile(member)
                            while file and (block := file.read(BLOCK)):
                                sums.update(block)
                            name = member.name.removeprefix(".").lstrip("/")
                            found[name] = {"bytes": member.size, "sha256": sums.hexdigest()}
                while process.stdout and process.stdout.read(BLOCK):
                    pass
            except tarfile.TarError:
                process.kill()  # it may still want to write
            said = process.stderr.read().decode(errors="replace") if process.stderr else ""
        if process.returncode != 0:
            raise faults.Fault(
                "unreadable",
                f"The snapshot can't be read back from {self.settings.place}/restic ({last_line(said)}); nothing "
                "was published. If it says so again, `chromafleet-snapshot restic check --read-data` names the "
                "damaged packs, `chromafleet-snapshot restic repair packs ID...` takes them out, and the next "
                "snapshot stores their content again.",
            )
        return found

    def snapshots(self) -> list[dict[str, Any]]:
        """All that the repository holds."""
        return json.loads(self.run("--json", "snapshots")[1]) or []

    def forget(self, ids: list[str]) -> None:
        """Take some out; their data goes with the next prune."""
        if ids:
            self.run("--quiet", "forget", *ids)

    def retain(self, *, prune: bool) -> bool:
        """Keep what shall be kept; False where the repository is locked, and it has to wait."""
        keep = [f"--keep-{name}={number}" for name, number in self.settings.keep.items() if number]
        more = ["--prune"] if prune else []
        command = ["--quiet", "forget", "--group-by", "host", "--host", self.settings.cell, *keep, *more]
        return self.run(*command, good=(0, LOCKED))[0] == 0

    def fault(self, code: int, said: str) -> faults.Fault:
        """What restic's words mean."""
        place = f"{self.settings.place}/restic"
        words = said.lower()
        if code == WRONG_KEY or "wrong password" in words:
            return faults.Fault(
                "wrong-key",
                f"The key in the secret {self.settings.secret} does not open {place}; the repository was made with "
                "another one: bring that version of the secret back "
                "(`aws secretsmanager list-secret-version-ids`), or no snapshot in it can be read.",
            )
        if code == LOCKED or "already locked" in words:
            advice = (
                "where no other host works on it, `chromafleet-snapshot restic unlock --remove-all` removes the lock"
            )
            return faults.Fault("locked", f"{place} is locked ({last_line(said)}); {advice}.")
        if "no space left" in words:
            advice = "the root disk has no room for restic's cache and temporary files: enlarge it, or empty it"
            return faults.Fault("disk-full", f"{place}: {advice} ({last_line(said)}).")
        for code_of_aws in (*faults.EXPIRED, *faults.UNKNOWN_KEYS, *faults.GONE, *faults.SLOW):
            if code_of_aws.lower() in words:
                return faults.of_code(code_of_aws, place, last_line(said))
        if "access denied" in words or "accessdenied" in words:
            return faults.of_code("AccessDenied", place, last_line(said))
        if any(word in words for word in ("connection refused", "no such host", "i/o timeout", "no route", "timeout")):
            return faults.unreachable(place, last_line(said))
        return faults.Fault("restic", f"restic ended with {code} at {place}: {last_line(said)}")


def last_line(said: str) -> str:
    """The end of what a program said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
