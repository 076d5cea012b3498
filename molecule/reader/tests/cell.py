"""A writer and a reader of one cell, what is published between them, and clients of both."""

import calendar
import importlib.util
import json
import random
import time
from pathlib import Path

import load
import testinfra

ADMIN = "molecule-admin-0123456789abcdef"
ACME = "molecule-acme-0123456789abcdef0"
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
AGE, SNAPSHOT, MOST = "X-Chroma-Data-Age", "X-Chroma-Snapshot", "X-Chroma-Max-Age"
STATUS = "/var/lib/chromafleet/reader.json"


def wait_until(condition, seconds=60, pause=0.1, what=""):
    """Wait for something, and tell what it was at last where it never came."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, f"not after {seconds} s: {what() if callable(what) else what}"
        time.sleep(pause)
    return found


def seconds_of(record):
    return calendar.timegm(time.strptime(record["time"], "%Y-%m-%dT%H:%M:%SZ"))


def vector(name, version):
    spread = random.Random(name)  # noqa: S311
    return [float(version), *(spread.randrange(1000) for _ in range(15))]


class Cell:
    """Both hosts."""

    def __init__(self):
        spec = importlib.util.spec_from_file_location("api", Path(__file__).parents[1] / "files/api.py")
        served = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(served)
        self.api, self.bucket = served.LocalApi(served.URL), served.BUCKET
        self.s3 = self.api.client("s3")
        self.writer = testinfra.get_host("docker://reader-writer")
        self.reader = testinfra.get_host("docker://reader-debian")
        self.addresses = {host: self._address(host) for host in (self.writer, self.reader)}
        self.number = 0

    def _address(self, host):
        return host.interface("eth0").addresses[0]

    def client(self, host=None, token=ADMIN, **headers):
        made = load.Client(self.addresses[host or self.reader], token)
        made.headers |= headers
        return made

    # --- What the writer has ------------------------------------------------------------------------------------

    def make(self, name, host=None, path=COLLECTIONS, token=ADMIN):
        body = {"name": name, "get_or_create": True}
        return self.client(host or self.writer, token).json("POST", path, body)["id"]

    def write(self, collection, records, host=None):
        """`records` is {id: version}."""
        body = {
            "ids": list(records),
            "embeddings": [vector(*one) for one in records.items()],
            "documents": [f"document {name} {version}" for name, version in records.items()],
        }
        self.client(host or self.writer).json("POST", f"{COLLECTIONS}/{collection}/upsert", body)

    def fill(self):
        """Three collections; one has more records than Chroma keeps in its queue."""
        self.collections = {name: self.make(name) for name in ("small", "large", "empty")}
        self.write(self.collections["small"], {f"s{number}": 1 for number in range(100)})
        for first in range(0, 1500, 500):
            self.write(self.collections["large"], {f"l{number}": 1 for number in range(first, first + 500)})

    def read(self, host, collection):
        """Every record of a collection, past any cache."""
        client = self.client(host, **{"Cache-Control": "no-cache"})
        body = {"include": ["embeddings", "documents", "metadatas"], "limit": 100000}
        status, headers, text = client.ask("POST", f"{COLLECTIONS}/{collection}/get", body)
        assert status == 200, text
        found = json.loads(text)
        return headers, dict(zip(found["ids"], zip(found["embeddings"], found["documents"], strict=True), strict=True))

    # --- What is published ----------------------------------------------------------------------------------------

    def latest(self):
        return json.load(self.s3.get_object(Bucket=self.bucket, Key="main/latest.json")["Body"])

    def publish(self, record):
        self.s3.put_object(Bucket=self.bucket, Key="main/latest.json", Body=json.dumps(record).encode())

    def again(self, **changes):
        """The same data under another id, as if it were a newer snapshot; the record of before."""
        before = self.latest()
        self.number += 1
        now = time.gmtime()
        name = time.strftime("%Y%m%dT%H%M%S", now) + f"Z-{self.number}"
        self.publish(before | {"id": name, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", now)} | changes)
        return before

    def snapshot(self):
        """A new one of the writer."""
        self.writer.check_output("chromafleet-snapshot now")
        return self.latest()

    # --- What the reader does -------------------------------------------------------------------------------------

    def status(self):
        return json.loads(self.reader.check_output("chromafleet-reader status"))

    def serving(self):
        """The snapshot that answers."""
        status, headers, _ = self.client().ask("GET", "/api/v2/heartbeat")
        return headers.get(SNAPSHOT) if status == 200 else None

    def catch_up(self, seconds=90):
        """Until the reader serves what is published, and nothing else runs; the record."""
        record = self.latest()
        wait_until(lambda: self.serving() == record["id"], seconds, what=self.status)
        wait_until(lambda: self.status().get("state") == "done", 90, what=self.status)
        return record

    def refresh(self):
        """A new snapshot, and the reader serves it."""
        self.snapshot()
        return self.catch_up()

    def servers(self):
        """The containers that run on the reader."""
        return sorted(self.reader.check_output("docker ps --format '{{.Names}}'").split())
