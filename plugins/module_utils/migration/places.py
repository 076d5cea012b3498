# SPDX-License-Identifier: Apache-2.0
"""Where records come from and go to: a server, a data directory, or exported files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from .chroma import Database, Server
from .connection import Connection
from .directory import serve
from .errors import MigrationError
from .files import FORMATS, Folder
from .records import Readable


@dataclass(frozen=True)
class Place:
    """A server's address or a path, and what to read or write there.

    Without a `database`, all of the tenant's are read, and each is written to the one of its name. The token is sent as
    `Authorization: Bearer <token>`, or by itself in another header.
    """

    location: str
    tenant: str = "default_tenant"
    database: str | None = None
    token: str | None = field(default=None, repr=False)
    token_header: str = "Authorization"  # noqa: S105 - a name
    ca_file: str | None = None

    @property
    def is_server(self) -> bool:
        """Whether it is an address."""
        return "://" in self.location

    def connect(self) -> Server:
        """The server at the address."""
        if not self.is_server:
            raise MigrationError(
                f'The target "{self.location}" is no address of a server: expected https://host[:port].'
            )
        bearer = "Bearer " if self.token_header.lower() == "authorization" else ""
        headers = {self.token_header: bearer + self.token} if self.token else {}
        return Server(Connection(self.location, headers, ca_file=self.ca_file))


@contextlib.contextmanager
def opened(place: Place, image: str | None, state: Path) -> Iterator[dict[str, Readable]]:
    """The databases at a place that is read, by name. A data directory is opened as `directory.serve` does."""
    path = Path(place.location)
    if place.is_server:
        yield _databases(place.connect(), place)
    elif not path.is_dir():
        raise MigrationError(
            f'The source "{path}" is neither an address (https://host[:port]) nor a directory that exists.'
        )
    elif any(any(path.glob(f"*/*.{kind}")) for kind in FORMATS):
        found = sorted(unquote(one.name) for one in path.iterdir() if one.is_dir())
        names = [place.database] if place.database else found
        yield {name: Folder(path, name) for name in names}
    else:
        with serve(path, image, state) as server:
            yield _databases(server, place)


def _databases(server: Server, place: Place) -> dict[str, Readable]:
    if place.database and not server.has_database(place.tenant, place.database):
        raise MigrationError(
            f'The source has no database "{place.database}" of the tenant "{place.tenant}": it has '
            f"{', '.join(server.databases(place.tenant)) or 'none of that tenant'}."
        )
    names: list[str] = [place.database] if place.database else server.databases(place.tenant)
    return {name: server.database(place.tenant, name) for name in names}


def counterpart(server: Server, place: Place, name: str, *, make: bool) -> Database | None:
    """The target's database for the source's database `name`; None where it is missing and shall not be made."""
    name = place.database or name
    if make:
        return server.ensure_database(place.tenant, name)
    return server.database(place.tenant, name) if server.has_database(place.tenant, name) else None
