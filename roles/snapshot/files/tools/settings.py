"""What the role has written down for these tools."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

FILE = Path("/etc/chromafleet/snapshot.json")
TOOLS = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Settings:
    """Each has the meaning of the role's variable of that name, unless said otherwise."""

    fleet: str
    cell: str
    region: str
    endpoint_url: str
    bucket: str
    secret: str
    chroma_version: str
    server_port: int  # of the live server
    server_container: str
    server_uid: int
    proof_port: int
    proof_memory: int
    proof_config: str  # config.yaml of the throw-away server
    proof_timeout: int
    samples: int
    checkpoint: list[str]  # the command that copies the data while writes wait
    work: Path  # directory of the copies that are being proved, on the data volume
    status: Path
    cache: Path  # restic's
    keep: dict[str, int | str]  # what restic's --keep-NAME is given
    prune_interval: int
    upload_limit: int
    drill: bool  # whether restore drills are made
    tags: str

    @property
    def data(self) -> Path:
        """The live server's directory."""
        return Path(self._option("--data"))

    @property
    def checkpoints(self) -> Path:
        """Where copies of it are."""
        return Path(self._option("--checkpoints"))

    @property
    def fence_wait(self) -> float:
        """Seconds that writes under way have to end."""
        return float(self._option("--wait"))

    def _option(self, name: str) -> str:
        return self.checkpoint[self.checkpoint.index(name) + 1]

    @property
    def place(self) -> str:
        """The bucket and the cell's part of it, as a person writes it."""
        return f"s3://{self.bucket}/{self.cell}"

    @property
    def restore_status(self) -> Path:
        """How the last restore went."""
        return self.status.with_name("restore.json")

    @property
    def request(self) -> Path:
        """What the next restore shall do; readable by root only."""
        return self.status.with_name("restore-request.json")

    @property
    def drill_status(self) -> Path:
        """How the last drill went: on the data volume, since it is a month old on a host that replaced another one."""
        return self.work.with_name("drill.json")


def load(file: Path = FILE) -> Settings:
    """Read the settings."""
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    paths = {name: Path(values[name]) for name in ("work", "status", "cache")}
    return Settings(**{field.name: values[field.name] for field in fields(Settings)} | paths)
