#!/usr/bin/env python3
"""Writes through nginx without end and notes what was acknowledged; compares that with what another server holds.

A record's vector carries its version, so that a server's answer tells which write it knows of.
"""

from __future__ import annotations

import argparse
import json
import random
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

TOKEN = "molecule-admin-0123456789abcdef"
PATH = "/api/v2/tenants/default_tenant/databases/default_database/collections"
BATCH = 100
RECORDS = 3000
TRUST = ssl._create_unverified_context()  # noqa: S323 - the host's own certificate


def ask(base, path="", body=None):
    request = urllib.request.Request(  # noqa: S310
        base + PATH + path,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}", "Host": "chroma.localhost"},
    )
    with urllib.request.urlopen(request, timeout=120, context=TRUST if base.startswith("https") else None) as answer:  # noqa: S310
        return json.load(answer)


def vector(name, version):
    spread = random.Random(name)  # noqa: S311
    return [float(version), *(spread.randrange(1000) for _ in range(15))]


def write(base, name, log, until):
    """One client: adds, writes anew, deletes; its lines are time, what, and the versions (0 is a deletion)."""
    chance = random.Random(name)  # noqa: S311
    collection = ask(base, body={"name": name, "get_or_create": True})["id"]
    versions = {}
    number = 0
    while time.time() < until:
        number += 1
        if chance.random() < 0.2 and len(versions) > 500:
            batch = dict.fromkeys(chance.sample(sorted(versions), BATCH // 2), 0)
            body, verb = {"ids": list(batch)}, "delete"
        else:
            batch = {f"{name}-{chance.randrange(RECORDS)}": number for _ in range(BATCH)}
            body = {"ids": list(batch), "embeddings": [vector(*record) for record in batch.items()]}
            verb = "upsert"
        log({"time": time.time(), "began": True, "collection": name, "records": batch})
        began = time.time()
        try:
            ask(base, f"/{collection}/{verb}", body)
        except urllib.error.HTTPError as error:
            log({"time": time.time(), "refused": error.code, "collection": name})
            continue
        log(
            {
                "time": time.time(),
                "acknowledged": True,
                "seconds": time.time() - began,
                "collection": name,
                "records": batch,
            }
        )
        versions |= batch
        versions = {key: value for key, value in versions.items() if value}


def compare(base, lines, before):
    """Each record is what was acknowledged last before that time, or what a later write made of it."""
    sure, possible = {}, {}
    for line in lines:
        for name, version in line.get("records", {}).items():
            key = line["collection"], name
            if line["time"] > before or line.get("began"):
                possible.setdefault(key, set()).add(version)
            else:
                sure[key] = version
                # Writes of one client come one after the other.
                possible[key] = {version}
    faults, read = [], 0
    for collection in ask(base):
        if collection["name"] not in {name for name, _ in possible}:
            continue
        found = {}
        while True:
            page = ask(
                base, f"/{collection['id']}/get", {"limit": 500, "offset": len(found), "include": ["embeddings"]}
            )
            found |= dict(zip(page["ids"], page["embeddings"] or [], strict=True))
            if len(page["ids"]) < 500:
                break
        read += len(found)
        for key, allowed in possible.items():
            if key[0] != collection["name"]:
                continue
            has = found.get(key[1])
            version = int(has[0]) if has else 0
            if version not in allowed | ({0} if key not in sure else set()) or (has and has != vector(key[1], version)):
                faults.append(f"{key}: version {version}, but {sorted(allowed)} were written")
    missing = {name for name, _ in sure} - {collection["name"] for collection in ask(base)}
    return {"read": read, "sure": len(sure), "faults": faults[:5] + [f"{name} is missing" for name in missing]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--base", default="https://127.0.0.1")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--before", type=float, help="compare rather than write")
    given = parser.parse_args()
    if given.before:
        lines = [json.loads(line) for line in given.log.read_text().splitlines() if line.endswith("}")]
        result = compare(given.base, lines, given.before)
        print(json.dumps(result))
        return 1 if result["faults"] else 0
    lock = threading.Lock()
    with given.log.open("a", buffering=1) as file:

        def log(line):
            with lock:
                file.write(json.dumps(line) + "\n")

        until = time.time() + given.seconds
        names = [f"load{number}-{int(time.time())}" for number in range(given.clients)]
        threads = [threading.Thread(target=write, args=(given.base, name, log, until)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
