"""Checkpoints and the recovery of torn segments, on directories that a real server wrote and serves again."""

from __future__ import annotations

import importlib
import json
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from chroma_servers import DEFAULT, call, make, serving
from test_chromadb_check import DAMAGES, cut, segment

TOOLS = Path(__file__).parents[2] / "roles/chromadb/files/tools"
DIMENSION = 8
# What the check makes good by itself, without a copy.
TORN = {name: sabotage for name, (sabotage, _) in DAMAGES.items() if name != "pickle older than the index"}


def tool(name, *arguments):
    command = [sys.executable, TOOLS / f"{name}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def tools():
    """The tools as modules, as they find one another on a host."""
    names = ("check", "checkpoint", "metrics", "recover", "wal")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOLS))
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
        for name in names:
            patch.delitem(sys.modules, name)


def rows(data, query, *values):
    with closing(sqlite3.connect(data / "chroma.sqlite3")) as database, database:
        return database.execute(query, values).fetchall()


def vector(number, version):
    return [number, version, *[1.0] * (DIMENSION - 2)]


def write(url, path, operation, numbers, version=0):
    """A write in batches, as a client makes it."""
    numbers = list(numbers)
    for first in range(0, len(numbers), 250):
        batch = numbers[first : first + 250]
        body = {"ids": [f"r{number}" for number in batch]}
        if operation != "delete":
            body["embeddings"] = [vector(number, version) for number in batch]
            body["documents"] = [f"document {number} {version}" for number in batch]
        call(url, "POST", f"{path}/{operation}", body)


def served(data):
    """Every record of every collection, as a server over the directory tells it."""
    with serving(data) as url:
        found = {}
        for collection in call(url, "GET", f"{DEFAULT}/collections"):
            path = f"{DEFAULT}/collections/{collection['id']}"
            got = call(url, "POST", f"{path}/get", {"include": ["embeddings", "documents"]})
            records = zip(got["embeddings"], got["documents"], strict=True)
            found[collection["name"]] = dict(zip(got["ids"], records, strict=True))
            if got["ids"]:
                near = call(url, "POST", f"{path}/query", {"query_embeddings": [got["embeddings"][0]], "n_results": 1})
                assert near["ids"][0], collection["name"]
        return found


def checkpoint(place, *more):
    done = tool("checkpoint", "--data", place / "data", "--checkpoints", place / "checkpoints", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def written(tmp_path_factory, tools):
    """A directory with writes of all kinds before a checkpoint, between two, and after the second."""
    place = tmp_path_factory.mktemp("written")
    data = place / "data"
    with serving(data) as url:
        assert tools.wal.keep(data, kept=True)
        full, queued = make(url, "full"), make(url, "queued")
        write(url, full, "add", range(2500))
        write(url, full, "delete", range(100))
        write(url, queued, "add", range(300))
        checkpoint(place)
        write(url, full, "upsert", range(500, 2000), version=1)
        checkpoint(place)
        young = make(url, "young")
        write(url, young, "add", range(1200))
        write(url, full, "add", range(2500, 3700))
        write(url, full, "upsert", range(600, 1900), version=2)
        write(url, full, "delete", range(300, 400))
        write(url, full, "add", range(300, 350), version=3)
        write(url, full, "delete", range(3650, 3700))
    wanted = served(data)
    assert {name: len(records) for name, records in wanted.items()} == {"full": 3500, "queued": 300, "young": 1200}
    assert wanted["full"]["r700"] == (vector(700, 2), "document 700 2")
    return place, wanted


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory, tools):
    """A directory that only old records were written to since its checkpoint: stale files would show no gap."""
    place = tmp_path_factory.mktemp("rewritten")
    with serving(place / "data") as url:
        assert tools.wal.keep(place / "data", kept=True)
        full = make(url, "full")
        write(url, full, "add", range(1100))
        checkpoint(place)
        write(url, full, "upsert", range(1100), version=1)
        write(url, make(url, "young"), "add", range(1000))
    return place, served(place / "data")


@pytest.fixture
def place(written, tmp_path):
    """A copy of the directory and its checkpoints."""
    return Path(shutil.copytree(written[0], tmp_path / "place"))


def recover(place):
    return tool("recover", "--data", place / "data", "--checkpoints", place / "checkpoints", "--torn", place / "torn")


def assert_taken_from(source, data):
    """The files are those of a checkpoint, and SQLite knows that they are."""
    folder = segment(data)
    taken = source / "data" / folder.name
    assert {file.name for file in folder.iterdir()} == {file.name for file in taken.iterdir()}
    for file in folder.iterdir():
        assert file.read_bytes() == (taken / file.name).read_bytes(), file.name
    until = "SELECT seq_id FROM max_seq_id WHERE segment_id = ?"
    assert rows(data, until, folder.name) == rows(source / "data", until, folder.name)


@pytest.mark.parametrize("damage", TORN)
def test_no_torn_file_costs_a_record(written, place, damage):
    TORN[damage](segment(place / "data"))
    done = recover(place)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    newest = max((place / "checkpoints").iterdir())
    assert f"was taken from checkpoint {newest.name}" in done.stdout
    assert done.stdout.endswith("is whole.\n")
    assert_taken_from(newest, place / "data")
    # All of them end in the same files: a server need not say it of each.
    if damage in ("segment directory missing", "pickle cut off", "vectors cut off"):
        assert served(place / "data") == written[1]


@pytest.mark.parametrize("sabotage", ["vectors cut off", "segment directory missing"])
def test_a_segment_that_no_checkpoint_has_is_made_anew(written, place, sabotage):
    TORN[sabotage](segment(place / "data", "young"))
    done = recover(place)
    assert done.returncode == 0, done.stderr
    assert "collection young" in done.stdout
    assert "was made anew; 1200 records are left to the queue" in done.stdout
    assert served(place / "data") == written[1]


def test_several_torn_segments_are_recovered_and_kept(written, place):
    folders = [segment(place / "data", name) for name in ("full", "young")]
    for folder in folders:
        cut(folder / "data_level0.bin")
    assert recover(place).returncode == 0
    (aside,) = (place / "torn").iterdir()
    assert {path.name for path in aside.iterdir()} == {"recovery.json", *(folder.name for folder in folders)}
    assert {one["collection"] for one in json.loads((aside / "recovery.json").read_text())} == {"full", "young"}
    assert served(place / "data") == written[1]


def test_torn_files_of_the_last_recoveries_only_are_kept(place):
    for _ in range(5):
        cut(segment(place / "data") / "data_level0.bin")
        assert recover(place).returncode == 0
    assert len(list((place / "torn").iterdir())) == 3


def test_a_damaged_checkpoint_is_passed_over(written, place):
    old, new = sorted((place / "checkpoints").iterdir())
    cut(segment(new / "data") / "length.bin", 0.1)
    cut(segment(place / "data") / "data_level0.bin")
    done = recover(place)
    assert f"was taken from checkpoint {old.name}" in done.stdout
    assert served(place / "data") == written[1]


def tree(place):
    return {path.relative_to(place): path.stat().st_size for path in place.rglob("*") if path.is_file()}


def test_what_the_queue_lacks_is_refused_and_nothing_is_touched(place):
    """As after a server that was run without this role, and purged."""
    data = place / "data"
    ((until,),) = rows(data, "SELECT seq_id FROM max_seq_id WHERE segment_id = ?", segment(data).name)
    rows(data, "DELETE FROM embeddings_queue WHERE topic LIKE '%' || ? AND seq_id < ?", collection_id(data), until)
    cut(segment(data) / "data_level0.bin")
    before = tree(place)
    done = recover(place)
    assert done.returncode == 3
    assert "collection full, segment" in done.stderr
    for path in (place / "checkpoints").iterdir():
        assert f"checkpoint {path.name} ends with record " in done.stderr
    assert "which the queue doesn't have any more; the queue alone lacks " in done.stderr
    assert tree(place) == before


def collection_id(data, name="full"):
    return rows(data, "SELECT id FROM collections WHERE name = ?", name)[0][0]


def test_a_checkpoint_of_another_history_is_not_used(place, tools):
    """After a restore the same number may name another record."""
    data = place / "data"
    for path in (place / "checkpoints").iterdir():
        copy = path / "data"
        ((until,),) = rows(copy, "SELECT seq_id FROM max_seq_id WHERE segment_id = ?", segment(copy).name)
        rows(copy, "UPDATE embeddings_queue SET id = 'other' WHERE seq_id = ?", until)
    cut(segment(data) / "data_level0.bin")
    assert "which the queue doesn't have any more" in recover(place).stderr
    # What both segments of the live data hold may go, and no more.
    assert tools.wal.purge(data, tools.checkpoint.proved(place / "checkpoints")) > 0
    assert queue(data)[1] == covered(data)


def test_a_damaged_database_is_not_recovered(place):
    with (place / "data/chroma.sqlite3").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40960)
    done = recover(place)
    assert done.returncode == 3
    assert "No vector segment is at fault" in done.stderr


# In a process that ends at its n-th file operation, as a kill would end it.
DYING = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
left = int(sys.argv.pop(1))
import recover
EVENTS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "open", "sqlite3.connect", "subprocess.Popen"}
def count(event, arguments):
    global left
    if event in EVENTS:
        left -= 1
        if left < 0:
            os._exit(137)
sys.addaudithook(count)
sys.exit(recover.main())
"""


def test_a_kill_at_any_moment_of_the_recovery_is_made_good_by_the_next(rewritten, tmp_path):
    """A kill at each file operation, then a second recovery."""
    original, wanted = rewritten
    for after in range(200):
        place = Path(shutil.copytree(original, tmp_path / "place"))
        data = place / "data"
        for name in ("full", "young"):
            cut(segment(data, name) / "data_level0.bin")
        arguments = ["--data", data, "--checkpoints", place / "checkpoints", "--torn", place / "torn"]
        command = [sys.executable, "-c", DYING, TOOLS, str(after), *arguments]
        killed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert killed.returncode in (0, 137), killed.stderr
        done = recover(place)
        assert done.returncode == 0, f"after {after} operations: {done.stderr}"
        assert_taken_from(*(place / "checkpoints").iterdir(), data)
        assert not segment(data, "young").exists()
        assert rows(data, "SELECT * FROM max_seq_id WHERE segment_id = ?", segment(data, "young").name) == []
        if killed.returncode == 0:
            break
        shutil.rmtree(place)
    assert after > 20
    assert killed.returncode == 0
    assert served(data) == wanted


def test_the_proof_takes_linear_time(tools):
    """Of a queue and records in memory, twenty times as many as elsewhere in these tests."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE embeddings (segment_id, embedding_id)")
        database.execute("CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, topic, operation, id, vector)")
        numbers = [(f"r{number}",) for number in range(60_000)]
        database.executemany("INSERT INTO embeddings VALUES ('m', ?)", numbers)
        database.executemany(
            "INSERT INTO embeddings_queue (topic, operation, id, vector) VALUES ('t', 0, ?, x'00')", numbers
        )
        one = tools.check.Segment("s", "c", "name", 8, "d", "t", None, "m")
        began = time.process_time()
        assert tools.recover.replay(database, one, "t", 0, set()) == 60_000
        assert time.process_time() - began < 5
        database.execute("DELETE FROM embeddings_queue WHERE seq_id <= 3")
        with pytest.raises(tools.recover.LostError, match="lacks 3 records, 'r0' among them"):
            tools.recover.replay(database, one, "t", 0, set())


def test_what_a_failed_host_may_not_have_written_is_taken_back(written, place, tools):
    """The vectors of the last upserts have not reached the disk, which no look at the files shows."""
    data, checkpoints = place / "data", place / "checkpoints"
    folder = segment(data)
    newest = tools.checkpoint.proved(checkpoints)[0]
    raw = (folder / "data_level0.bin").read_bytes()
    old = struct.pack("<8f", *vector(700, 1))
    at = raw.index(struct.pack("<8f", *vector(700, 2)))
    (folder / "data_level0.bin").write_bytes(raw[:at] + old + raw[at + len(old) :])
    assert list(tools.check.check(data)) == []
    doubts = tools.recover.doubtful(data, checkpoints)
    assert {doubt.collection for doubt in doubts} == {"full", "young"}
    plans = tools.recover.recover(data, checkpoints, place / "torn", [], doubts)
    assert {one.collection: one.checkpoint for one in plans} == {"full": newest.parent.name, "young": None}
    assert list(tools.check.check(data)) == []
    # A whole segment isn't kept.
    assert [path.name for aside in (place / "torn").iterdir() for path in aside.iterdir()] == ["recovery.json"]
    assert served(data) == written[1]


def test_what_is_in_doubt_stays_where_the_queue_lacks_it(place, tools, capsys):
    data = place / "data"
    rows(data, "DELETE FROM embeddings_queue WHERE seq_id < (SELECT max(seq_id) FROM embeddings_queue)")
    before = tree(place)
    doubts = tools.recover.doubtful(data, place / "checkpoints")
    assert tools.recover.recover(data, place / "checkpoints", place / "torn", [], doubts) == []
    assert capsys.readouterr().err.count("It stays as it is") == 2
    assert tree(place) == before


# --- Checkpoints -----------------------------------------------------------------------------------------------------


@pytest.fixture
def live(place):
    with serving(place / "data") as url:
        yield place, url


def queue(data, name="full"):
    return rows(
        data,
        "SELECT count(*), min(seq_id) FROM embeddings_queue WHERE topic LIKE '%' || ?",
        collection_id(data, name),
    )[0]


def covered(data, name="full"):
    return rows(data, "SELECT seq_id FROM max_seq_id WHERE segment_id = ?", segment(data, name).name)[0][0]


def test_chroma_leaves_its_queue_to_the_checkpoints(written):
    """The queue goes back to the last record of the older checkpoint, and has all that came since."""
    data = written[0] / "data"
    old, _ = sorted((written[0] / "checkpoints").iterdir())
    assert queue(data)[1] == covered(old / "data")
    assert queue(data)[0] > 1500 + 1200
    assert queue(data, "young")[0] == 1200
    assert queue(data, "queued")[0] == 300


def test_a_queue_that_is_not_kept_is_purged_by_chroma_again(place, tools):
    data = place / "data"
    assert tools.wal.keep(data, kept=False)
    with serving(data) as url:
        write(url, f"{DEFAULT}/collections/{collection_id(data)}", "add", range(5000, 6200))
    assert queue(data)[0] < 1000
    assert rows(data, "SELECT name FROM sqlite_master WHERE name = 'chromafleet_queue'") == []


def test_a_new_directory_has_no_tables_yet(tmp_path, tools):
    assert not tools.wal.keep(tmp_path, kept=True)
    (tmp_path / "chroma.sqlite3").touch()
    assert not tools.wal.keep(tmp_path, kept=True)


def test_the_newest_checkpoints_are_kept_and_what_was_never_finished_goes(live):
    place, url = live
    left = place / "checkpoints/20200101T000000Z"
    (left / "data").mkdir(parents=True)
    made = checkpoint(place, "--keep", 1, "--while-fenced", "sh", "-c", f"ls $CHECKPOINT | tee {place}/seen")
    assert "chroma.sqlite3" in (place / "seen").read_text()
    assert [path.name for path in (place / "checkpoints").iterdir()] == [made["id"]]
    assert made["path"] == str(place / "checkpoints" / made["id"] / "data")
    assert 0 < made["fenced_seconds"] < 30
    assert made["bytes"] > 100_000
    # Only this one counts now.
    assert queue(place / "data")[1] == covered(place / "data")
    assert served_live(url, "full") == 3500


def served_live(url, name):
    path = next(one["id"] for one in call(url, "GET", f"{DEFAULT}/collections") if one["name"] == name)
    return call(url, "GET", f"{DEFAULT}/collections/{path}/count")


def test_a_command_that_fails_leaves_no_checkpoint(place):
    before = tree(place)
    done = tool(
        "checkpoint",
        "--data",
        place / "data",
        "--checkpoints",
        place / "checkpoints",
        "--while-fenced",
        "sh",
        "-c",
        "exit 9",
    )
    assert done.returncode == 9
    assert done.stdout == ""
    assert tree(place) == before


def test_a_damaged_copy_is_removed_and_nothing_purged(place):
    cut(segment(place / "data") / "data_level0.bin")
    before = tree(place)
    done = tool("checkpoint", "--data", place / "data", "--checkpoints", place / "checkpoints", "--keep", 1)
    assert done.returncode == 3
    assert "the copy is damaged in 1 places, of which the first is: collection full" in done.stderr
    assert tree(place) == before


def test_writes_that_cannot_be_held_back_stop_it(place, tmp_path):
    """The fence's program says so by its exit code."""
    fence = tmp_path / "fenced"
    fence.write_text("#!/bin/sh\nexit 75\n")
    fence.chmod(0o755)
    done = tool("checkpoint", "--data", place / "data", "--checkpoints", place / "checkpoints", "--fenced", fence)
    assert done.returncode == 75
    assert len(list((place / "checkpoints").iterdir())) == 2


def test_a_full_volume_is_told_before_it_is_filled(place, tools, monkeypatch):
    monkeypatch.setattr(tools.checkpoint, "MARGIN", 1 << 60)
    with pytest.raises(tools.checkpoint.CheckpointError, match="enlarge the volume, lower --keep"):
        tools.checkpoint.check_room(place / "data", place / "checkpoints")


def test_checkpoints_under_write_load_are_whole(live):
    """Without an nginx nobody holds writes back: a copy that was changed meanwhile is made again."""
    place, url = live
    path = f"{DEFAULT}/collections/{collection_id(place / 'data')}"
    program = """
import json, sys, urllib.request
number = 10000
while True:
    body = {"ids": [f"w{i}" for i in range(number, number + 200)], "embeddings": [[i] * 8 for i in range(200)]}
    request = urllib.request.Request(sys.argv[1], json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request).read()
    number += 200
"""
    with subprocess.Popen([sys.executable, "-c", program, f"{url}{path}/upsert"]) as writer:
        try:
            codes = [
                tool("checkpoint", "--data", place / "data", "--checkpoints", place / "checkpoints").returncode
                for _ in range(6)
            ]
        finally:
            writer.kill()
    # Refused as one that can't be made, rarely; never damaged.
    assert set(codes) <= {0, 75}, codes
    assert codes.count(0) >= 3, codes
