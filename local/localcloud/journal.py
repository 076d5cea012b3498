"""Keeps what was called: `GET /localcloud/calls` tells it, `DELETE` forgets it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from localcloud.calls import CALL, Wsgi
from localcloud.settings import OWN_AGENT

PATH = "/localcloud/calls"
#: The oldest calls beyond these are forgotten; a lifecycle of a fleet is some thousands.
LIMIT = 100_000


def journal(app: Wsgi) -> Wsgi:
    """`app`, with a record of every call that others than the local cloud itself make."""
    calls: deque[dict[str, Any]] = deque(maxlen=LIMIT)

    def keep(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            return _tell(environ, start_response)
        call = environ[CALL]
        if call is None or OWN_AGENT in call.user_agent:
            return app(environ, start_response)
        record = call.record()
        calls.append(record)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            record["status"] = int(status.split()[0])
            return start_response(status, headers, *more)

        return app(environ, start)

    def _tell(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        told = json.dumps(list(calls)).encode()
        if environ["REQUEST_METHOD"] == "DELETE":
            calls.clear()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(told)))])
        return [told]

    return keep
