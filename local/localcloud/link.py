"""What listens at link-local addresses of every VPC: this process, through sockets in the registry's network.

A socket belongs to the network in which it was made, whoever holds it. A helper makes it in the one container that is
in every VPC and hands it over through a Unix socket. So nothing is opened on this machine, nobody needs to be root, and
it is a router away from a container inside an instance, as on EC2.
"""

from __future__ import annotations

import json
import logging
import socket
import tempfile

from werkzeug.serving import BaseWSGIServer

from localcloud import network
from localcloud.api import serve
from localcloud.calls import Wsgi
from localcloud.docker import docker, inspect, label_args
from localcloud.settings import state_dir
from localcloud.volumes import NODE

log = logging.getLogger("link")

Address = tuple[str, int]

HELPER = """
import json, socket, subprocess, sys
listeners = []
for address, port in json.loads(sys.argv[1]):
    subprocess.run(["ip", "address", "replace", address + "/32", "dev", "lo"], check=True)
    listeners.append(socket.create_server((address, port)))
with socket.socket(socket.AF_UNIX) as meeting:
    meeting.connect("/link/meeting")
    socket.send_fds(meeting, [b"!"], [listener.fileno() for listener in listeners])
"""


class Link:
    """A follower that serves applications at their addresses, again whenever the registry was started again."""

    def __init__(self, applications: dict[Address, Wsgi]) -> None:
        self._applications = applications
        self._servers: list[BaseWSGIServer] = []
        self._since = ""

    def follow(self) -> None:
        """Listen in the registry's network, if that isn't done already."""
        registry = inspect("container", network.REGISTRY)
        since = registry["State"]["StartedAt"] if registry and registry["State"]["Running"] else ""
        if since == self._since:
            return
        for server in self._servers:
            server.shutdown()
        self._servers = []
        if since:
            for (address, application), listener in zip(
                self._applications.items(), listeners(network.REGISTRY, list(self._applications)), strict=True
            ):
                with listener:
                    self._servers.append(serve(application, *address, listener))
            log.info("listening at %s", ", ".join(f"{host}:{port}" for host, port in self._applications))
        self._since = since


def listeners(container: str, addresses: list[Address]) -> list[socket.socket]:
    """Listening sockets in a container's network, which gets the addresses."""
    with tempfile.TemporaryDirectory(dir=state_dir()) as folder, socket.socket(socket.AF_UNIX) as meeting:
        meeting.bind(f"{folder}/meeting")
        meeting.listen()
        meeting.settimeout(10)
        docker("run", "--rm", "--pull", "never", *label_args(), "--network", f"container:{container}",
               "--cap-add", "NET_ADMIN", "--volume", f"{folder}:/link", NODE, "python3", "-c", HELPER,
               json.dumps(addresses))  # fmt: skip
        # The helper has ended; what it sent waits here.
        connection, _ = meeting.accept()
        with connection:
            _, handed, _, _ = socket.recv_fds(connection, 1, len(addresses))
    return [socket.socket(fileno=number) for number in handed]
