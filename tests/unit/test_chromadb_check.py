"""The structural check, on directories that Chroma itself wrote: whole ones pass, each damage is named."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from pathlib import Path

import chromadb
import pytest

PICKLE = "index_metadata.pickle"
TOOL = Path(__file__).parents[2] / "roles/chromadb/files/tools/check.py"
# In a process of its own, so that nothing is open any more when the files are changed.
BUILD = """
import sys, chromadb, numpy as np
client = chromadb.PersistentClient(sys.argv[1])
random = np.random.default_rng(1)
def fill(name, count, **more):
    collection = client.create_collection(name, **more)
    collection.add(ids=[f"r{i}" for i in range(count)], embeddings=random.random((count, 16)))
    return collection
full = fill("full", 2500)
full.update(ids=[f"r{i}" for i in range(600)], embeddings=random.random((600, 16)))
full.delete(ids=[f"r{i}" for i in range(500)])
full.add(ids=[f"n{i}" for i in range(950)], embeddings=random.random((950, 16)))
fill("queued", 300)
fill("gone", 1200)
client.delete_collection("gone")
client.create_collection("empty")
"""


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("chromadb_check", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written")
    subprocess.run([sys.executable, "-c", BUILD, path], check=True)
    return path


@pytest.fixture
def data(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "data"))


def segment(data, collection="full"):
    database = sqlite3.connect(data / "chroma.sqlite3")
    ((found,),) = database.execute(
        "SELECT s.id FROM segments s JOIN collections c ON c.id = s.collection WHERE scope = 'VECTOR' AND c.name = ?",
        (collection,),
    )
    database.close()
    return data / found


def header(folder):
    return list(struct.unpack("<iQQQQQQiIQQQdQ", (folder / "header.bin").read_bytes()[:100]))


def cut(path, share=0.5):
    os.truncate(path, int(path.stat().st_size * share))


def overwrite(path, at, raw):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(raw)


def read_map(folder):
    return pickle.loads((folder / "index_metadata.pickle").read_bytes())  # noqa: S301 - written by this test's Chroma


def repickle(folder, change):
    ids = read_map(folder)
    change(ids)
    (folder / "index_metadata.pickle").write_bytes(pickle.dumps(ids, protocol=3))


def lose_an_id(ids):
    name, label = next(iter(ids["id_to_label"].items()))
    del ids["id_to_label"][name], ids["label_to_id"][label]


def mark_as_deleted(folder):
    """The index as it is when it was written after a deletion, beside the map from before."""
    size, label_at = header(folder)[4:6]
    ids = read_map(folder)
    raw = (folder / "data_level0.bin").read_bytes()
    element = next(
        i
        for i in range(header(folder)[3])
        if struct.unpack_from("<Q", raw, i * size + label_at)[0] in ids["label_to_id"]
    )
    overwrite(folder / "data_level0.bin", element * size + 2, b"\x01")


def leave_a_hole(folder):
    """An element that the header counts but that was never written."""
    size = header(folder)[4]
    overwrite(folder / "data_level0.bin", (header(folder)[3] - 1) * size, bytes(size))


def link_beyond_the_end(folder):
    overwrite(folder / "data_level0.bin", 4, struct.pack("<I", 1 << 30))


def grow_without_bound(folder):
    os.truncate(folder / "link_lists.bin", 1 << 40)


def run_code(folder):
    """The pickle of an attacker; its program stops this test."""
    (folder / PICKLE).write_bytes(b"cos\n_exit\n(I1\ntR.")


DAMAGES = {
    "segment directory missing": (shutil.rmtree, "its directory is missing"),
    "pickle missing": (lambda f: (f / PICKLE).unlink(), "index_metadata.pickle is missing"),
    "pickle empty": (lambda f: cut(f / PICKLE, 0), "index_metadata.pickle can't be read"),
    "pickle cut off": (lambda f: cut(f / PICKLE), "index_metadata.pickle can't be read"),
    "pickle with code": (run_code, "it names os._exit, but only plain data belongs there"),
    "pickle older than the index": (mark_as_deleted, "1 of its ids have a vector that is marked as deleted"),
    "pickle lacks an id": (lambda f: repickle(f, lose_an_id), "1 vectors belong to no id"),
    "pickle of other data": (lambda f: (f / PICKLE).write_bytes(pickle.dumps([1])), "holds no map of ids"),
    "header missing": (lambda f: (f / "header.bin").unlink(), "header.bin is missing"),
    "header cut off": (lambda f: cut(f / "header.bin"), "header.bin has 50 of 100 bytes"),
    "header counts too much": (lambda f: overwrite(f / "header.bin", 20, bytes([16, 14])), "data_level0.bin has"),
    "header of other vectors": (lambda f: overwrite(f / "header.bin", 28, b"\x63"), "header.bin contradicts itself"),
    "vectors missing": (lambda f: (f / "data_level0.bin").unlink(), "data_level0.bin is missing"),
    "vectors cut off": (lambda f: cut(f / "data_level0.bin"), "data_level0.bin has \\d+ bytes, but 2500 elements"),
    "a vector never written": (leave_a_hole, "only 2499 of 2500 elements were written"),
    "a link to nowhere": (link_beyond_the_end, "element 0 has a link beyond the last"),
    "lengths cut off": (lambda f: cut(f / "length.bin", 0.1), "length.bin has \\d+ bytes"),
    "links missing": (lambda f: (f / "link_lists.bin").unlink(), "link_lists.bin is missing"),
    "links cut off": (lambda f: cut(f / "link_lists.bin"), "link_lists.bin"),
    "links without end": (grow_without_bound, "link_lists.bin has 1099511627776 bytes"),
}  # fmt: skip


def test_what_chroma_wrote_is_whole(check, data):
    assert list(check.check(data)) == []
    # The test is about a directory that has each of these.
    names = {path.name for path in data.iterdir()}
    assert len(names) >= 4
    assert (segment(data) / "index_metadata.pickle").exists()
    assert not (segment(data, "queued") / "index_metadata.pickle").exists()


@pytest.mark.parametrize(("sabotage", "sentence"), DAMAGES.values(), ids=DAMAGES)
def test_each_damage_is_named(check, data, sabotage, sentence):
    folder = segment(data)
    sabotage(folder)
    (damage,) = check.check(data)
    assert (damage.collection, damage.tenant, damage.database, damage.segment) == (
        "full", "default_tenant", "default_database", folder.name,
    )  # fmt: skip
    assert re.search(sentence, str(damage)), str(damage)


def test_a_directory_of_an_older_state_is_told(check, data):
    """The files of a segment fit one another, but SQLite knows of records that they never had."""
    database = sqlite3.connect(data / "chroma.sqlite3")
    with database:
        database.execute(
            "INSERT INTO embeddings (segment_id, embedding_id, seq_id) SELECT m.id, 'lost', 1 FROM segments m "
            "JOIN collections c ON c.id = m.collection WHERE scope = 'METADATA' AND c.name = 'full'"
        )
    database.close()
    (damage,) = check.check(data)
    assert "1 records have lost their vectors" in str(damage)


def test_a_damaged_database_is_told(check, data):
    overwrite(data / "chroma.sqlite3", 4096, b"\xff" * 40960)
    assert next(damage.damage for damage in check.check(data)).startswith("SQLite")


def test_a_missing_database_is_told(check, data):
    (data / "chroma.sqlite3").unlink()
    (damage,) = check.check(data)
    assert str(damage).startswith("chroma.sqlite3: it is missing, but")
    (data / "chroma.sqlite3").touch()
    assert [str(damage)[:41] for damage in check.check(data)] == ["chroma.sqlite3: it has no collections, bu"]


def test_a_new_volume_is_whole(check, tmp_path):
    assert list(check.check(tmp_path)) == []


def test_a_hot_journal_of_a_crash_is_rolled_back(check, data):
    """As the server would do it; the process is killed in a transaction that has reached the disk."""
    dying = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1] + "/chroma.sqlite3", isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
database.execute("DELETE FROM embeddings")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", dying, data], check=False)
    assert (data / "chroma.sqlite3-journal").stat().st_size > 512
    assert list(check.check(data)) == []


def test_files_that_were_never_persisted_are_no_damage(check, data):
    """A kill in the first write of an index: its records are all in the queue, and Chroma makes the index anew."""
    whole, torn = segment(data), segment(data, "queued")
    for name in ("header.bin", "data_level0.bin", "length.bin", "link_lists.bin"):
        shutil.copy(whole / name, torn / name)
    cut(torn / "data_level0.bin")
    assert list(check.check(data)) == []
    got = chromadb.PersistentClient(str(data)).get_collection("queued").get(include=["embeddings"])
    assert len(got["embeddings"]) == 300


def stale_map(data):
    """A crash after the index was written with more deletions and additions, and before the map of its ids was."""
    earlier = shutil.copytree(data, data.with_name("earlier"))
    again = "import sys, chromadb; chromadb.PersistentClient(sys.argv[1]).get_collection('full').delete(ids={})"
    first, then = [[f"r{i}" for i in range(*span)] for span in ((600, 620), (620, 680))]
    subprocess.run([sys.executable, "-c", again.format(first), earlier], check=True)
    shutil.copytree(earlier, data, dirs_exist_ok=True)
    subprocess.run([sys.executable, "-c", again.format(then), earlier], check=True)
    for name in ("header.bin", "data_level0.bin", "length.bin", "link_lists.bin"):
        shutil.copy(segment(earlier) / name, segment(data) / name)
    return data


def embeddings(path):
    read = (
        "import sys, chromadb; full = chromadb.PersistentClient(sys.argv[1]).get_collection('full'); "
        "print(len(full.get(include=['embeddings'])['embeddings']))"
    )
    return subprocess.run([sys.executable, "-c", read, path], capture_output=True, text=True, check=False)


def test_a_stale_map_stops_chroma_for_good(check, data):
    stale_map(data)
    assert [damage.collection for damage in check.check(data)] == ["full"]
    assert "Failed to apply logs to the hnsw segment writer" in embeddings(data).stderr


def test_a_stale_map_is_made_good(check, data):
    stale_map(data)
    assert list(check.check(data, repair=True)) == []
    assert list(check.check(data)) == []
    read = embeddings(data)
    # 2000 + 950 of the fixture, without the first 20; the later 60 deletions are not in this copy's queue.
    assert read.stdout.strip() == "2930", read.stderr


def test_command(data):
    done = subprocess.run([sys.executable, TOOL, data], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{data} is whole.\n")
    shutil.rmtree(segment(data))
    done = subprocess.run([sys.executable, TOOL, "--json", data], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert [damage["collection"] for damage in json.loads(done.stdout)] == ["full"]
    done = subprocess.run([sys.executable, TOOL, data / "none"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is no directory" in done.stderr


def test_time_is_linear(check, data):
    """A file that grew without bound costs nothing: its size is looked at first."""
    grow_without_bound(segment(data))
    began = time.monotonic()
    assert len(list(check.check(data))) == 1
    assert time.monotonic() - began < 5
