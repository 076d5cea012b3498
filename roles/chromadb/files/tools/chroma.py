"""Chroma's API on loopback; the role snapshot asks it too. A collection is found by its id, whatever the tenant."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any


class Server:
    """A server on a port of this host."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}/api/v2"
        self.base = f"{self.root}/tenants/default_tenant/databases/default_database/collections"

    def ask(self, path: str, body: dict[str, Any] | None = None, seconds: float = 300) -> Any:
        """One answer about a collection."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/{path}", data, {"Content-Type": "application/json"})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
            return json.load(answer)

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            with urllib.request.urlopen(f"{self.root}/heartbeat", timeout=2) as answer:  # noqa: S310
                return answer.status == 200
        except OSError:
            return False

    def wait(self, seconds: float, lives: Any = lambda: True) -> bool:
        """Until it answers; False where it doesn't in time, or `lives` says that it never will."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and lives():
            if self.answers():
                return True
            time.sleep(0.1)
        return self.answers()
