"""nginx on this host: which server serves, where the writer is, what is in flight, and what was asked lately.

Where nginx does not run nobody needs to be told: it reads the same from files when it starts.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
from typing import Any

import edge
from faults import Fault

SECONDS = 5


def ask(port: int, method: str, path: str, body: Any = None, source: int = 0) -> Any:
    """One answer of the status server; None where nginx doesn't run."""
    text = None if body is None else json.dumps(body)
    try:
        status, said = edge.call(method, path, port=port, body=text, source=source, seconds=SECONDS)
    except (OSError, http.client.HTTPException) as broken:
        raise Fault("nginx", f"nginx gave no answer at port {port} ({broken}): `systemctl status nginx`.") from None
    if status == 0:
        return None
    if status != 200:
        advice = "it is not configured as a reader's: run site.yml, which gives it nginx_writer_url"
        raise Fault("nginx", f"nginx answered {status} to {method} {path} ({said.strip()[:200]}); {advice}.")
    return json.loads(said)


def serve(port: int, serving: dict[str, Any] | None) -> None:
    """Switch, unless it is so already."""
    known = ask(port, "GET", "/serving")
    if known is None or (known.get("serving") or None) == serving:
        return
    if serving is None:
        ask(port, "DELETE", "/serving")
    else:
        ask(port, "PUT", "/serving", serving)


def in_flight(port: int, server_port: int) -> int:
    """Requests that a server has and whose answers are not whole yet."""
    known = ask(port, "GET", "/serving") or {}
    return int((known.get("in_flight") or {}).get(str(server_port), 0))


def writer(port: int, addresses: list[str]) -> None:
    """Tell where the writer is."""
    known = ask(port, "GET", "/writer")
    if known is not None and (known.get("addresses") or []) != addresses:
        ask(port, "PUT", "/writer", {"addresses": addresses})


def recent(port: int) -> list[dict[str, Any]]:
    """The latest different questions; told to a port that only root can have."""
    for _ in range(5):
        try:
            found = ask(port, "GET", "/recent", source=random.randrange(600, 1024))  # noqa: S311 - any that is free
        except Fault as fault:
            if "in use" not in str(fault) and "assign" not in str(fault):
                raise
            continue
        return [{**one, "body": base64.b64decode(one["body"])} for one in found or []]
    return []
