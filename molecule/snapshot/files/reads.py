#!/usr/bin/env python3
"""Asks one question through nginx without end, by turns from the query cache and past it, and notes each answer."""

from __future__ import annotations

import argparse
import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

TOKEN = "molecule-admin-0123456789abcdef"
TRUST = ssl._create_unverified_context()  # noqa: S323 - the host's own certificate


def ask(url, body, headers):
    """The version that the answer carries, and what the cache had to do with it."""
    headers |= {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60, context=TRUST) as answer:  # noqa: S310
        said = json.load(answer)
        return said["embeddings"][0][0], answer.headers["X-Cache"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="of the route get")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--while-there", type=Path, required=True, help="the file by whose removal this ends")
    given = parser.parse_args()
    body = {"ids": ["0"], "include": ["embeddings"]}
    with given.log.open("w", buffering=1) as file:
        while given.while_there.exists():
            for headers in ({}, {"Cache-Control": "no-cache"}):
                began = time.time()
                try:
                    version, cache = ask(given.url, body, headers)
                    line = {"version": version, "cache": cache}
                except urllib.error.HTTPError as error:
                    line = {"failed": f"{error.code} {error.read(200).decode(errors='replace')}"}
                except OSError as error:
                    line = {"failed": str(error)}
                file.write(json.dumps({"began": began, "ended": time.time(), **line}) + "\n")
            time.sleep(0.05)


if __name__ == "__main__":
    main()
