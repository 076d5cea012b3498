"""One HAProxy: its container, and its run-time commands."""

from __future__ import annotations

import csv
import io
import socket
import time
from collections.abc import Callable
from pathlib import Path

from localcloud.docker import docker, inspect, label_args
from localcloud.settings import PREFIX, state_dir


class HAProxy:
    """The HAProxy of a load balancer; its folder is mounted as /balancer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.container = f"{PREFIX}-balancer-{name}"
        self.folder = state_dir() / "balancers" / name
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def configure(
        self, write: Callable[[dict[str, list[str]]], str], network: str, address: str, ports: list[int]
    ) -> None:
        """Run what `write(server lines)` says: start, or check it and reload without dropping a connection.

        Targets come and go through the run-time API; only a change of anything else is worth a reload.
        """
        base = self.folder / "haproxy.base"
        running = inspect("container", self.container)
        running = running if running and running["State"]["Running"] else None
        if running and base.exists() and base.read_text() == write({}):
            return
        config = self.folder / "haproxy.cfg"
        if running and self._published(running) == set(ports):
            config.write_text(write(self._server_lines()))
            (self.folder / "servers.state").write_text(self.command("show servers state") + "\n")
            docker("exec", self.container, "haproxy", "-c", "-q", "-f", "/balancer/haproxy.cfg")
            docker("kill", "--signal", "USR2", self.container)
        else:
            config.write_text(write({}))
            (self.folder / "servers.state").write_text("1\n")
            docker("rm", "--force", "--volumes", self.container, check=False)
            publish = [option for port in ports for option in ("--publish", f"{address}:{port}:{port}")]
            docker("run", "--detach", "--name", self.container, "--pull", "never", *label_args(balancer=self.name),
                   "--network", network, *publish, "--volume", f"{self.folder}:/balancer",
                   f"{PREFIX}/services:trixie", "haproxy", "-W", "-db", "-f", "/balancer/haproxy.cfg")  # fmt: skip
            self._wait()
        base.write_text(write({}))

    def _server_lines(self) -> dict[str, list[str]]:
        """`NAME ADDRESS` of the servers that run now, for each backend: a reload must not forget them."""
        lines: dict[str, list[str]] = {}
        for (backend, server), row in sorted(self.servers().items()):
            lines.setdefault(backend, []).append(f"{server} {row['addr']}")
        return lines

    def command(self, text: str) -> str:
        """Say something to the run-time API."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(10)
            admin.connect(str(self.folder / "admin.sock"))
            admin.sendall(text.encode() + b"\n")
            answer = b"".join(iter(lambda: admin.recv(65536), b""))
        return answer.decode().strip()

    def servers(self) -> dict[tuple[str, str], dict[str, str]]:
        """Statistics of every server: (backend, server) -> row."""
        rows = csv.DictReader(io.StringIO(self.command("show stat -1 4 -1").removeprefix("# ")))
        return {(row["pxname"], row["svname"]): row for row in rows}

    def remove(self) -> None:
        """Stop it and remove what it left."""
        docker("rm", "--force", "--volumes", self.container, check=False)

    def _published(self, running: dict) -> set[int]:
        return {int(port.split("/")[0]) for port in running["HostConfig"]["PortBindings"] or {}}

    def _wait(self) -> None:
        """Until the run-time API answers: HAProxy makes the socket when its configuration is loaded."""
        deadline = time.monotonic() + 15
        while True:
            try:
                self.command("show info")
            except OSError:
                if time.monotonic() > deadline:
                    logs = docker("logs", "--tail", "5", self.container, check=False)
                    raise RuntimeError(f"{self.container} does not start: {logs}") from None
                time.sleep(0.2)
            else:
                return

    @property
    def certificates(self) -> Path:
        """Where certificate files go."""
        path = self.folder / "certificates"
        path.mkdir(exist_ok=True, mode=0o700)
        return path
