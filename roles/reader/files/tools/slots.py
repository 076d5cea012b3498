"""The two slots of a reader: each a data directory, a server of its own and a port."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import atomic
from faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from own import Own

REFUSED = "3"  # of serve.py: what is in the directory must not be served
LABEL = re.compile(r"chromafleet\.revision:\s*[\"']?(\w+)")


class Slots:
    """What the host has, and which of them serves."""

    def __init__(self, own: Own) -> None:
        self.own = own

    def data(self, slot: str) -> Path:
        """The data directory."""
        return self.own.slots_dir / slot / "data"

    def serving(self) -> dict[str, Any] | None:
        """What was proved last, and serves: slot, port, snapshot, time of its data, revision of its container."""
        try:
            found = json.loads(self.own.serving.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found if found.get("slot") in self.own.slots else None

    def serve(self, serving: dict[str, Any] | None) -> None:
        """Remember it; what the deep probe looks at as well."""
        if serving is None:
            self.own.serving.unlink(missing_ok=True)
            self.own.environment.unlink(missing_ok=True)
            return
        atomic.write(self.own.serving, json.dumps(serving) + "\n")
        self.probe(serving)

    def probe(self, serving: dict[str, Any]) -> None:
        """Have the deep probe look there; /run is empty after a boot."""
        text = f"SLOT={serving['slot']}\nPORT={serving['port']}\n"
        if not self.own.environment.exists() or self.own.environment.read_text(encoding="utf-8") != text:
            atomic.write(self.own.environment, text)
            # One that looks at the other slot just now would find a server that stops.
            self._systemctl("stop", "chromadb-probe.service")

    def other(self, serving: dict[str, Any] | None) -> str:
        """The slot that doesn't serve."""
        return next(slot for slot in self.own.slots if not serving or slot != serving["slot"])

    def revision(self, slot: str) -> str:
        """What the container of a slot shall be made from."""
        file = self.own.compose.format(slot=slot)
        with open(file, encoding="utf-8") as opened:
            found = LABEL.search(opened.read())
        return found[1] if found else ""

    def state(self, slot: str) -> str:
        """As systemd says it: active, activating, inactive, failed."""
        return self._systemctl("is-active", f"chromadb@{slot}.service").stdout.strip()

    def start(self, slot: str) -> None:
        """Start the server of a slot, or raise a Fault with its last words."""
        unit = f"chromadb@{slot}.service"
        done = self._systemctl("start", unit)
        if done.returncode != 0:
            shown = self._systemctl("show", "--property=StatusText,ExecMainStatus", unit).stdout
            status = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
            kind = "refused" if status.get("ExecMainStatus") == REFUSED else "no-start"
            said = status.get("StatusText") or done.stderr.strip()
            raise Fault(kind, f"{unit} does not start: {said}; `journalctl --unit {unit}` tells more.")

    def stop(self, slot: str) -> None:
        """Stop the server of a slot, if it runs; requests in flight are finished."""
        self._systemctl("stop", f"chromadb@{slot}.service")

    def killed_for_memory(self, slot: str) -> bool:
        """Whether the kernel has ended the server of a slot."""
        command = ["docker", "container", "inspect", "--format", "{{.State.OOMKilled}}", f"chromadb-{slot}"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "true"

    def copy(self, source: str, target: str) -> None:
        """Begin with what the other slot has, of which XFS copies nothing: then only what differs is fetched."""
        into = self.data(target)
        shutil.rmtree(into, ignore_errors=True)
        # Its server writes now and then, and a file may vanish meanwhile: what is wrong in the copy is fetched.
        command = ["cp", "--archive", "--reflink=auto", str(self.data(source)), str(into)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 and "No space left" in done.stderr:
            shutil.rmtree(into, ignore_errors=True)
            advice = "a refresh needs room for two copies: raise aws_fleet_reader_volume_size and end this instance"
            raise Fault("disk-full", f"The data volume {self.own.slots_dir} is full; {advice}.")

    def _systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
