"""The migration between real Chroma servers: everything arrives, once, whatever happens on the way."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
from ansible_runs import BIN, ROOT
from chroma_servers import DEFAULT, call, fill, make, metadata, records, serving, wait_until

TOOL = ROOT / "bin" / "chromafleet-migrate"
pytestmark = pytest.mark.slow


@pytest.fixture
def tool(tmp_path):
    """Run the command line tool; its state is this test's own."""

    def run(*arguments, check=True, **env):
        command = [sys.executable, TOOL, *arguments, "--state", tmp_path / "state"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **env}
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def between(servers, *more):
    old, new = servers
    return ["--from", old, "--to", new, *more]


def held(url, name):
    """All records of a collection, by id."""
    found = call(url, "GET", f"{DEFAULT}/collections/{name}")
    include = ["embeddings", "documents", "metadatas", "uris"]
    answer = call(url, "POST", f"{DEFAULT}/collections/{found['id']}/get", {"include": include})
    return {row[0]: row[1:] for row in zip(answer["ids"], *(answer[kind] for kind in include), strict=True)}


def test_everything_arrives_as_it_was(servers, tool):
    old, new = servers
    source = make(old, "kinds", metadata={"owner": "me", "level": 3, "ratio": 1.0, "live": True})
    fill(old, source, 1200)
    done = tool("copy", *between(servers, "--collection", "kinds"))
    assert done.stdout == "default_database/kinds: 1200 written, 1200 equal\n"
    before, after = held(old, "kinds"), held(new, "kinds")
    assert before == after
    numbers = after["id 3/é"][2]
    assert numbers == metadata(3)
    assert {name: type(value) for name, value in numbers.items()} == {
        name: type(value) for name, value in metadata(3).items()
    }
    again = tool("copy", *between(servers, "--collection", "kinds"))
    assert again.stdout == "default_database/kinds: 0 written, 1200 equal\n"


def test_the_collection_itself_is_the_same(servers, tool):
    old, _ = servers
    settings = {"model_name": "text-embedding-3-small", "api_key_env_var": "KEY"}
    function = {"type": "known", "name": "openai", "config": settings}
    body = {
        "name": "settings",
        "metadata": {"owner": "me", "level": 3, "ratio": 1.0, "live": True},
        "configuration": {
            "hnsw": {"space": "ip", "ef_construction": 50, "ef_search": 33, "max_neighbors": 9},
            "embedding_function": function,
        },
    }
    call(old, "POST", f"{DEFAULT}/collections", body)
    tool("copy", *between(servers, "--collection", "settings"))
    before, after = (call(url, "GET", f"{DEFAULT}/collections/settings") for url in servers)
    assert {key: before[key] for key in ("metadata", "configuration_json")} == {
        key: after[key] for key in ("metadata", "configuration_json")
    }
    assert after["configuration_json"]["embedding_function"] == function


def test_cosine_embeddings_are_the_same_but_for_rounding(servers, tool):
    old, new = servers
    fill(old, make(old, "cosine", space="cosine"), 1000)
    done = tool("copy", *between(servers, "--collection", "cosine"))
    assert done.stdout == "default_database/cosine: 1000 written, 1000 equal\n"
    before, after = held(old, "cosine"), held(new, "cosine")
    for record_id, (embedding, *rest) in before.items():
        assert list(after[record_id][1:]) == rest
        assert math.dist(after[record_id][0], embedding) <= 2**-21 * math.hypot(*embedding)
    again = tool("copy", *between(servers, "--collection", "cosine"))
    assert again.stdout == "default_database/cosine: 0 written, 1000 equal\n"


def test_only_what_changed_is_written_again(servers, tool):
    old, new = servers
    source = make(old, "changes")
    fill(old, source, 900)
    command = ["copy", *between(servers, "--collection", "changes", "--delete-extra")]
    tool(*command)
    changed = {**records(2, seed=77), "metadatas": [{"new": 1}, {"text": "x"}]}
    call(old, "POST", f"{source}/delete", {"ids": [*changed["ids"], "id 8/é"]})
    call(old, "POST", f"{source}/upsert", changed)
    fresh = records(3, first=2000)
    call(old, "POST", f"{source}/upsert", fresh)
    done = tool(*command)
    assert done.stdout == "default_database/changes: 5 written, 902 equal, 1 deleted\n"
    assert held(old, "changes") == held(new, "changes")
    assert held(new, "changes")[changed["ids"][1]][2] == {"text": "x"}


def test_a_killed_copy_goes_on(servers, tool, tmp_path):
    old, new = servers
    fill(old, make(old, "killed"), 1200)
    command = ["copy", *between(servers, "--collection", "killed"), "--batch", "20"]
    with subprocess.Popen([sys.executable, TOOL, *command, "--state", tmp_path / "state"]) as process:
        wait_until(lambda: count(new, "killed") >= 200, 60, "the first records arrive")
        process.kill()
    arrived = count(new, "killed")
    assert 200 <= arrived < 1200
    done = tool(*command)
    written = int(done.stdout.split(": ")[1].split()[0])
    assert done.stdout.endswith("written, 1200 equal\n")
    # What was in flight at the kill arrived without being noted, and is found to be the same.
    assert 0 < written <= 1200 - arrived
    assert held(old, "killed") == held(new, "killed")


def count(url, name):
    """How many records a collection has; none before it is made."""
    for row in call(url, "GET", f"{DEFAULT}/collections?limit=1000"):
        if row["name"] == name:
            return call(url, "GET", f"{DEFAULT}/collections/{row['id']}/count")
    return 0


def test_a_lost_changed_or_foreign_record_is_named(servers, tool):
    old, new = servers
    fill(old, make(old, "proof"), 600)
    command = between(servers, "--collection", "proof")
    tool("copy", *command)
    target = f"{DEFAULT}/collections/{call(new, 'GET', f'{DEFAULT}/collections/proof')['id']}"
    call(new, "POST", f"{target}/delete", {"ids": ["id 1/é"]})
    call(new, "POST", f"{target}/update", {"ids": ["id 2/é"], "metadatas": [{"flag": 1}]})
    nudged = held(old, "proof")["id 4/é"][0]
    nudged[3] *= 1 + 2**-22
    call(new, "POST", f"{target}/update", {"ids": ["id 4/é"], "embeddings": [nudged]})
    call(new, "POST", f"{target}/upsert", {"ids": ["foreign"], "embeddings": [[1.0] * 16]})
    done = tool("verify", *command, check=False)
    assert done.returncode == 1
    assert "597 equal, 1 missing (id 1/é), 1 extra (foreign), 2 different (id " in done.stdout
    assert "id 2/é" in done.stdout
    assert "id 4/é" in done.stdout
    # The journal doesn't know that somebody deleted what had arrived: the proof tells it, the next copy mends.
    assert tool("copy", *command, check=False).returncode == 1
    mended = tool("copy", *command, "--delete-extra")
    assert mended.stdout == "default_database/proof: 3 written, 600 equal, 1 deleted\n"


def test_files_hold_the_same_and_come_back(servers, tool, tmp_path):
    old, new = servers
    fill(old, make(old, "files", space="cosine"), 700)
    source = ["--from", old, "--collection", "files"]
    assert tool("export", *source, "--to", tmp_path / "out").stdout == (
        f"default_database/files: 700 records in {tmp_path / 'out'}\n"
    )
    assert tool("verify", *source, "--to", tmp_path / "out").stdout == "default_database/files: 0 written, 700 equal\n"
    back = tool("copy", "--from", tmp_path / "out", "--to", new)
    assert back.stdout == "default_database/files: 700 written, 700 equal\n"
    file = tmp_path / "out" / "default_database" / "files.jsonl"
    lines = file.read_text().split("\n")
    lines[5] = json.dumps({**json.loads(lines[5]), "document": "another"})
    file.write_text("\n".join(lines))
    assert tool("verify", *source, "--to", tmp_path / "out", check=False).returncode == 1


def test_parquet_asks_for_its_package(servers, tool, tmp_path):
    make(servers[0], "no-parquet")
    (tmp_path / "pyarrow.py").write_text("raise ImportError")
    source = ["--from", servers[0], "--collection", "no-parquet", "--to", tmp_path, "--format", "parquet"]
    done = tool("export", *source, check=False, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == (
        "chromafleet-migrate: Parquet needs the Python package pyarrow: pip install pyarrow, or choose jsonl.\n"
    )


def test_a_directory_is_moved_and_not_touched(servers, tool, tmp_path):
    directory = tmp_path / "chroma_db"
    with serving(directory) as url:
        fill(url, make(url, "directory"), 600)
        refused = tool("copy", "--from", directory, "--to", servers[1], check=False)
    assert refused.returncode == 2
    assert f"has {directory}/chroma.sqlite3 open: stop that server first" in refused.stderr
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    done = tool("copy", "--from", directory, "--to", servers[1], PATH=f"{BIN}:{os.environ['PATH']}")
    assert done.stdout == "default_database/directory: 600 written, 600 equal\n"
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before
    assert [path.name for path in (tmp_path / "state").glob("copy-*") if path.is_dir()] == []


def test_another_database_and_tenant_are_made(servers, tool):
    old, new = servers
    call(old, "POST", "/api/v2/tenants", {"name": "acme"})
    call(old, "POST", "/api/v2/tenants/acme/databases", {"name": "first-one"})
    path = "/api/v2/tenants/acme/databases/first-one/collections"
    made = call(old, "POST", path, {"name": "theirs"})
    call(old, "POST", f"{path}/{made['id']}/upsert", records(10))
    done = tool("copy", *between(servers, "--from-tenant", "acme", "--to-tenant", "acme-2", "--to-database", "other"))
    assert done.stdout == "first-one/theirs: 10 written, 10 equal\n"
    assert call(new, "GET", "/api/v2/tenants/acme-2/databases/other/collections_count") == 1


WRONG = {
    "no server": (
        ["--from", "http://127.0.0.1:9"],
        "http://127.0.0.1:9 can't be reached (ConnectionRefusedError: [Errno 111] Connection refused): start the same",
    ),
    "no directory": (["--from", "/nowhere"], 'The source "/nowhere" is neither an address (https://host[:port]) nor a'),
    "no data": (["--from", "/etc"], "/etc holds no chroma.sqlite3. Expected the data directory of"),
    "no address": (["--to", "chroma"], 'The target "chroma" is no address of a server: expected https://host[:port].'),
    "no scheme": (["--to", "ftp://chroma"], '"ftp://chroma" is no address of a server: expected https://host[:port].'),
    "no collection": (["--collection", "nix"], 'The source has no collection "nix": it has '),
    "no database": (["--from-database", "nix"], 'The source has no database "nix" of the tenant "default_tenant": '),
    "no variable": (["--to-token-env", "NIX"], "The environment has no variable NIX, which --to-token-env names."),
    "no file": (["--to-token-file", "/nix"], "The token can't be read from --to-token-file: [Errno 2] No such file"),
    "no state": (["--state", "/proc/nix"], "The journal /proc/nix/journal.sqlite3 can't be written"),
    "no CA": (["--to", "https://host", "--to-ca-file", "/nix"], 'The file of certificates "/nix" can\'t be read'),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_input_is_one_sentence(servers, tmp_path, name):
    arguments, sentence = WRONG[name]
    command = [sys.executable, TOOL, "copy", *between(servers), "--state", tmp_path, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(f"chromafleet-migrate: {sentence}")
    assert done.stderr.count("\n") == 1


def test_another_name_and_nothing_that_exists(servers, tool):
    old, new = servers
    fill(old, make(old, "named"), 700)
    there = ("copy", *between(servers, "--collection", "named", "--only-new"))
    assert tool(*there, "--rename", "other.name-1").stdout.endswith("named: 700 written, 700 equal\n")
    assert held(new, "other.name-1") == held(old, "named")
    fill(new, make(new, "named"), 5)
    done = tool(*there, check=False)
    assert done.returncode == 2
    assert 'has a collection "named" already: give another name' in done.stderr
    assert len(held(new, "named")) == 5
    # Whole, it is the target's own: a second time would undo what was written to it since.
    done = tool(*there, "--rename", "other.name-1", check=False)
    assert "already: give another name" in done.stderr
    make(old, "another")
    done = tool("copy", *between(servers, "--rename", "one"), check=False)
    assert 'collections can\'t all get the name "one"' in done.stderr


def test_another_space_in_the_target_is_refused(servers, tool):
    for url, space in zip(servers, ("l2", "cosine"), strict=True):
        make(url, "spaces", space=space)
    done = tool("copy", *between(servers, "--collection", "spaces"), check=False)
    assert done.returncode == 2
    assert done.stderr == (
        'chromafleet-migrate: The collection "spaces" exists in the target with space cosine, but has l2 in the '
        "source: delete or rename it there.\n"
    )
