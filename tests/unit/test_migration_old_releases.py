"""Real directories of older releases of chromadb, made by the packages themselves, killed on the way and resumed."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.migration.decimals import settled
from ansible_runs import BIN, ROOT
from chroma_servers import DEFAULT, call, fill, make, serving, wait_until
from localcloud import images
from old_chroma import DIMENSION, record

pytestmark = pytest.mark.long
TOOL = ROOT / "bin" / "chromafleet-migrate"
# Release -> packages that it needs in the versions of its time.
OLD = {
    "0.4.24": ["numpy<2", "posthog<4"],
    "0.5.23": ["numpy<2", "posthog<4"],
    "0.6.3": ["numpy<2", "posthog<4"],
    "1.0.20": [],
}


def python_of(release):
    """A Python with this release of chromadb."""
    if release == "1.5.9":
        return Path(sys.executable)
    return python_with(f"chromadb-{release}", f"chromadb=={release}", *OLD[release])


def python_with(name, *packages):
    """A Python with some packages; made once, in .cache."""
    venv = ROOT / ".cache" / name
    if not (venv / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "--quiet", *packages], check=True)
        (venv / "ready").touch()
    return venv / "bin" / "python"


@pytest.mark.parametrize(
    ("release", "count"), [*((name, 10_000) for name in OLD), ("1.5.9", 10_000), ("0.6.3", 100_000)]
)
def test_a_directory_of_an_older_release(tmp_path, release, count):
    directory = tmp_path / "chroma_db"
    maker = Path(__file__).with_name("old_chroma.py")
    made = subprocess.run(
        [python_of(release), maker, directory, str(count)], capture_output=True, text=True, check=False, timeout=3600
    )
    assert made.stdout == f"{release}\n", made.stderr
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    with serving(tmp_path / "new") as new:
        command = [sys.executable, TOOL, "copy", "--from", directory, "--to", new, "--state", tmp_path / "state"]
        with subprocess.Popen(command, env=env) as process:
            wait_until(lambda: arrived(new) >= count // 3, 1800, "a third of the records arrives", pause=1)
            process.kill()
        assert arrived(new) < count
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=3600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        for space in ("cosine", "ip", "l2"):
            total = count if space == "l2" else min(count, 2500)
            (line,) = (line for line in done.stdout.splitlines() if f"/space-{space}:" in line)
            assert line.endswith(f", {total - 1} equal")
            compare_with_the_original(new, space, total)


def arrived(url):
    rows = call(url, "GET", f"{DEFAULT}/collections")
    return sum(
        call(url, "GET", f"{DEFAULT}/collections/{row['id']}/count") for row in rows if row["name"] == "space-l2"
    )


def compare_with_the_original(url, space, total):
    """What the target holds, against what was given to the old release, not against what the copy read."""
    found = call(url, "GET", f"{DEFAULT}/collections/space-{space}")
    assert (found["metadata"]["owner"], found["configuration_json"]["hnsw"]["space"]) == ("me", space)
    seen = 0
    for offset in range(0, total, 1000):
        page = {"limit": 1000, "offset": offset, "include": ["embeddings", "documents", "metadatas"]}
        answer = call(url, "POST", f"{DEFAULT}/collections/{found['id']}/get", page)
        for record_id, *rest in zip(*(answer[key] for key in ("ids", *page["include"])), strict=True):
            _, embedding, document, metadata = record(int(record_id.split("-")[1]))
            if record_id == "id-8":
                metadata["t"] = "changed"
            assert rest[1] == document
            assert settled(rest[2]) == settled(metadata)
            if space == "cosine":
                assert math.dist(rest[0], embedding) <= 2**-20 * math.hypot(*embedding)
            else:
                assert float32(rest[0]) == float32(embedding)
            seen += 1
    assert seen == total - 1


def float32(numbers):
    return struct.pack(f"{DIMENSION}f", *numbers)


def test_parquet_files_hold_the_same_and_come_back(tmp_path):
    command = [python_with("pyarrow", "pyarrow"), TOOL]
    state = ["--state", tmp_path / "state"]

    def run(*arguments):
        done = subprocess.run([*command, *arguments, *state], capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with serving(tmp_path / "old") as old, serving(tmp_path / "new") as new:
        fill(old, make(old, "parquet", metadata={"ratio": 1.5}), 1000)
        run("export", "--from", old, "--to", tmp_path / "out", "--format", "parquet")
        same = "default_database/parquet: 0 written, 1000 equal\n"
        assert run("verify", "--from", old, "--to", tmp_path / "out") == same
        run("copy", "--from", tmp_path / "out", "--to", new)
        assert run("verify", "--from", old, "--to", new) == same


def test_docker_opens_a_directory(tmp_path):
    images.build(["chroma"], print)
    with serving(tmp_path / "chroma_db") as old:
        fill(old, make(old, "docker", space="ip"), 1000)
    with serving(tmp_path / "new") as new:
        command = [sys.executable, TOOL, "copy", "--from", tmp_path / "chroma_db", "--to", new]
        command += [
            "--server-image",
            f"chromafleet-local/chroma:{images.CHROMA_VERSION}",
            "--state",
            tmp_path / "state",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.stdout == "default_database/docker: 1000 written, 1000 equal\n", done.stderr
