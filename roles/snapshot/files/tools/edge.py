"""What nginx on this host is asked for: to hold writes back, and to trust no answer that its cache has."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
import urllib.parse
from typing import TYPE_CHECKING

from faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 8081
#: A write waits so long, and is then told to come again.
HOLD = 60
BUSY = 409


def call(
    method: str, path: str, *, port: int = PORT, body: str | None = None, source: int = 0, seconds: float = 10
) -> tuple[int, str]:
    """Status, 0 if nobody listens, and the answer; an error where there is none. From a port of one's own: `source`."""
    address = ("127.0.0.1", source) if source else None
    nginx = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds, source_address=address)
    try:
        nginx.request(method, path, body)
        answer = nginx.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except ConnectionRefusedError:
        return 0, ""
    finally:
        nginx.close()


def ask(method: str, path: str, seconds: float = 10) -> tuple[int, str]:
    """Status, 0 if nobody listens, and what is said about it."""
    try:
        status, text = call(method, path, seconds=seconds)
        return status, json.loads(text).get("message", "") if status else "nginx does not run."
    except (OSError, http.client.HTTPException, ValueError) as broken:
        return -1, f"nginx gave no answer that is understood: {broken}"


def release(owner: str) -> None:
    """Let writes go on, if it is this owner who holds them back."""
    ask("DELETE", f"/fence?owner={owner}")


def forget() -> None:
    """Have no answer of before now served from the query cache."""
    status, said = ask("DELETE", "/cache")
    if status not in (0, 200):
        print(f"nginx was not told that its cache is of other data ({status} {said}): it is restarted.", flush=True)
        # One that is started anew trusts no answer that is there.
        subprocess.run(["systemctl", "restart", "nginx.service"], check=False)


@contextlib.contextmanager
def writes_held(owner: str, *, lasts: float, wait: float, patience: float = 120) -> Iterator[None]:
    """Hold writes back; without an nginx nobody writes through it."""
    query = urllib.parse.urlencode({"owner": owner, "hold": HOLD, "for": lasts, "wait": wait})
    until = time.monotonic() + patience
    while True:
        status, said = ask("PUT", f"/fence?{query}", wait + 10)
        if status in (0, 200):
            break
        # A checkpoint holds it for a moment.
        if status != BUSY or time.monotonic() > until:
            release(owner)
            raise Fault("fence", f"Writes could not be held back ({said}); nothing was changed, try again.")
        time.sleep(0.5)
    try:
        yield
    finally:
        release(owner)
