#!/usr/bin/python3
"""Run a command while nginx holds writes back: chromafleet-fenced restart -- docker compose restart.

It starts when no write is under way any more, and ends with the command's exit code; with 75 (try again) where writes
did not end in time, somebody else held the fence, or it did not hold until the command's end. Without an nginx nobody
writes through it, and the command just runs. The fence is described in nginx's fence.lua.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import urllib.parse

TRY_AGAIN = 75


def ask(port: int, method: str, **query: str | float) -> tuple[int, str]:
    """Status, 0 if nobody listens, and what is said about it."""
    # The answer may take the time that is waited for writes.
    nginx = http.client.HTTPConnection("127.0.0.1", port, timeout=float(query.get("wait", 0)) + 10)
    try:
        nginx.request(method, f"/fence?{urllib.parse.urlencode(query)}")
        answer = nginx.getresponse()
        return answer.status, json.load(answer).get("message", "")
    except ConnectionRefusedError:
        return 0, "nginx does not run."
    except (OSError, http.client.HTTPException, ValueError) as broken:
        return -1, f"nginx gave no answer on port {port} that is understood: {broken}"


def main() -> int:
    """Fence, run, open; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8081, help="of nginx's status server, nginx_status_port")
    parser.add_argument("--hold", type=float, default=60, help="seconds that a write waits before it is told 503")
    parser.add_argument("--for", type=float, default=300, dest="lasts", help="seconds until the fence opens by itself")
    parser.add_argument("--wait", type=float, default=120, help="seconds that writes under way have to end")
    parser.add_argument("owner", help="who fences: snapshot, restart")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()

    query = {"owner": given.owner, "hold": given.hold, "for": given.lasts, "wait": given.wait}
    closed, why = ask(given.port, "PUT", **query)
    if closed not in {0, 200}:
        # Closed but not in time, perhaps. What is somebody else's does not open for our name.
        ask(given.port, "DELETE", owner=given.owner)
        print(f"chromafleet-fenced: {why}", file=sys.stderr)
        return TRY_AGAIN
    try:
        code = subprocess.run(given.command, check=False).returncode
    finally:
        opened, why = ask(given.port, "DELETE", owner=given.owner) if closed else (200, "")
    if opened != 200:
        print(f"chromafleet-fenced: the fence did not hold until the command's end: {why}", file=sys.stderr)
        return code or TRY_AGAIN
    return code


if __name__ == "__main__":
    sys.exit(main())
