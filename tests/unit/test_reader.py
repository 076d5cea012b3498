"""What a reader decides by itself, on real servers; how it works with nginx, systemd and S3 the scenario shows."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from chroma_servers import DEFAULT, call, make, serving

ROLES = Path(__file__).parents[2] / "roles"
TOOLS = [ROLES / role / "files/tools" for role in ("reader", "snapshot", "chromadb")]
NAMES = ("atomic", "command", "faults", "own", "refresh", "samples", "slots", "status", "watch", "chroma", "shelf")


@pytest.fixture(scope="module")
def tools():
    """The tools as modules, found in the order that the host's command has."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in reversed(TOOLS):
            patch.syspath_prepend(str(folder))
        known = set(sys.modules)
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
        for name in set(sys.modules) - known:
            if any(str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)) for folder in TOOLS):
                patch.delitem(sys.modules, name)


@pytest.fixture
def own(tools, tmp_path):
    for slot in "ab":
        (tmp_path / f"slot-{slot}.yaml").write_text("labels:\n  chromafleet.revision: abc123\n")
    values = dict.fromkeys(tools.own.Own.__dataclass_fields__, "")
    values |= {"slots": {"a": 8000, "b": 8001}, "slots_dir": tmp_path, "compose": f"{tmp_path}/slot-{{slot}}.yaml"}
    values |= {name: tmp_path / name for name in ("status", "serving", "writer", "environment")}
    return tools.own.Own(**values | {"writer_name": "localhost", "writer_port": 443, "writer_addresses": []})


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A server, its directory, and the record that a writer would publish of it."""
    data = tmp_path_factory.mktemp("data")
    with serving(data) as url:
        collections = []
        for name, number in (("one", 20), ("two", 7), ("none", 0)):
            path = make(url, name)
            if number:
                body = {"ids": [str(i) for i in range(number)], "embeddings": [[i, 1.0, 2.0] for i in range(number)]}
                call(url, "POST", f"{path}/add", body)
            place = {"tenant": "default_tenant", "database": "default_database", "name": name}
            dimension = 3 if number else None
            collections.append({**place, "id": path.split("/")[-1], "dimension": dimension, "records": number})
        yield SimpleNamespace(
            url=url, port=int(url.split(":")[-1]), data=data, record={"id": "x", "collections": collections}
        )


def test_a_snapshot_that_is_what_was_published(tools, published):
    tools.refresh.prove(tools.chroma.Server(published.port), published.data, published.record, 10)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda found: [found[0] | {"records": 21}, *found[1:]], "collection one .* has 20 records, but 21"),
        (lambda found: found[1:], "has 3 collections, but its record names 2"),
        (lambda found: [found[0] | {"id": found[0]["id"][:-4] + "0000"}, *found[1:]], "the server answered 404"),
        (lambda found: [one | {"dimension": 4} if one["dimension"] else one for one in found], "0 of 5 embeddings"),
    ],
    ids=["count", "number", "another", "embeddings"],
)
def test_a_snapshot_that_is_something_else(tools, published, changed, said):
    record = published.record | {"collections": changed(published.record["collections"])}
    with pytest.raises(tools.faults.Fault, match=said) as fault:
        tools.refresh.prove(tools.chroma.Server(published.port), published.data, record, 10)
    assert fault.value.kind == "broken-copy"


def test_a_server_that_answers_the_same_as_soon(tools, published):
    server = tools.chroma.Server(published.port)
    tools.refresh.compare(server, server, published.record, 10)


def test_records_that_are_as_near_as_each_other_may_be_found_by_turns(tools, tmp_path_factory):
    """Of many equal ones two servers return different ones, and both are right."""
    with serving(tmp_path_factory.mktemp("equal")) as url:
        path = make(url, "equal")
        call(url, "POST", f"{path}/add", {"ids": [str(i) for i in range(40)], "embeddings": [[1.0, 2.0, 3.0]] * 40})
        server = tools.chroma.Server(int(url.split(":")[-1]))
        collection = path.split("/")[-1]
        (answer,) = tools.samples.ask(server, [{"collection": collection, "vector": [1.0, 2.0, 3.0]}], 10)
        others = [str(i) for i in range(40) if str(i) not in answer["records"]][:10]
        answer["records"] = {name: [1.0, 2.0, 3.0] for name in others}
        assert tools.samples.fault_of(server, answer) is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda found: time.sleep(0.2) or found, r"a query takes 2\d\d ms, and \d+ ms with the present server"),
        (lambda found: found | {"ids": [found["ids"][0][:1]]}, "collection .*: a query finds 1 of the"),
        (lambda found: found | {"ids": [["gone"] * 10]}, "collection .*: a query finds 0 of the"),
    ],
    ids=["slower", "fewer", "others"],
)
def test_a_server_that_is_worse_with_the_same_data(tools, published, spoil, said):
    class Worse(tools.chroma.Server):
        def ask(self, path, *arguments, **named):
            found = super().ask(path, *arguments, **named)
            return spoil(found) if path.endswith("/query") else found

    present, other = tools.chroma.Server(published.port), Worse(published.port)
    with pytest.raises(tools.faults.Fault, match=said) as fault:
        tools.refresh.compare(present, other, published.record, 10)
    assert fault.value.kind == "worse"


def test_a_reader_is_compared_with_another_one_of_the_same_snapshot(tools, own, published, monkeypatch, capsys):
    """As a second group of readers is, whose data came from S3."""
    record = {**published.record, "id": "20260101T000000Z"}
    monkeypatch.setattr(tools.command.snapshots, "load", lambda _file: None)
    monkeypatch.setattr(tools.shelf, "Shelf", lambda _: SimpleNamespace(record=lambda _id: record))
    serves = {"slot": "a", "port": published.port, "snapshot": record["id"]}
    monkeypatch.setattr(tools.command, "Slots", lambda _own: SimpleNamespace(serving=lambda: serves))
    assert tools.command.answers(own) == 0
    given = json.loads(capsys.readouterr().out)
    assert len(given["answers"]) > 0
    assert tools.command.compare(own, given) == 0
    assert "sample queries of 20260101T000000Z are answered the same, and as soon." in capsys.readouterr().out
    given["answers"][0]["count"] += 1
    assert tools.command.compare(own, given) == 1
    assert "records, and the live server had" in capsys.readouterr().err
    assert tools.command.compare(own, {**given, "snapshot": "other"}) == tools.command.OTHER_DATA
    assert "The answers are of the snapshot other, and here serves 20260101T000000Z." in capsys.readouterr().err
    monkeypatch.setattr(tools.shelf, "Shelf", lambda _: SimpleNamespace(record=lambda _id: None))
    assert tools.command.answers(own) == tools.command.OTHER_DATA
    assert "The snapshot 20260101T000000Z, which serves here, was let go" in capsys.readouterr().err


def test_the_new_server_is_asked_what_was_asked_lately(tools, published):
    collection = f"{DEFAULT}/collections/{published.record['collections'][0]['id']}"
    query = json.dumps({"query_embeddings": [[1, 1, 2]], "n_results": 2}).encode()
    questions = [
        {"method": "POST", "path": f"{collection}/query", "body": query},
        {"method": "GET", "path": f"{collection}/count", "body": b""},
        {"method": "POST", "path": f"{DEFAULT}/collections/gone/query", "body": query},
    ]
    assert tools.refresh.warm(published.port, questions, 20) == 2
    assert tools.refresh.warm(published.port, questions, 0) == 0


def test_the_time_of_a_snapshot(tools):
    assert tools.status.stood_still({"time": "2026-11-28T15:00:00Z"}) == 1795878000


def test_what_serves_is_kept_as_a_whole(tools, own):
    slots = tools.slots.Slots(own)
    assert slots.serving() is None
    assert slots.other(None) == "a"
    slots.own.serving.write_text('{"slot": "a", "po')
    assert slots.serving() is None
    tools.atomic.write(own.serving, json.dumps({"slot": "a", "port": 8000}))
    assert slots.serving() == {"slot": "a", "port": 8000}
    assert slots.other(slots.serving()) == "b"
    assert slots.revision("b") == "abc123"
    slots.serve(None)
    assert slots.serving() is None


def test_metrics(tools, own):
    slots = tools.slots.Slots(own)
    assert tools.watch.values(own, slots) == {"ReaderRefreshFailed": 0}
    tools.atomic.write(own.serving, json.dumps({"slot": "b", "time": time.time() - 60}))
    own.status.write_text(json.dumps({"state": "running", "failing": True}))
    found = tools.watch.values(own, slots)
    assert found["ReaderRefreshFailed"] == 1
    assert found["DataAgeSeconds"] == pytest.approx(60, abs=5)


def test_a_failure_outlives_the_beginning_of_the_next_attempt(tools, own):
    state = tools.status.Status(own.status)
    state.end(state="failed", failing=True)
    state.begin()
    assert tools.status.read(own.status)["failing"] is True


def test_the_writer_is_found_by_its_name(tools, own):
    assert tools.watch.addresses(own) == ["127.0.0.1"]


def test_a_look_costs_nothing_while_nothing_is_new(tools, aws):
    """The pointer's tag is sent back; S3 answers without the record."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="looks")
    shelf = tools.shelf.Shelf.__new__(tools.shelf.Shelf)
    shelf.settings = SimpleNamespace(bucket="looks", place="s3://looks/main")
    shelf.s3, shelf.latest_key = s3, "main/latest.json"
    assert shelf.changed("") == (None, "")
    s3.put_object(Bucket="looks", Key="main/latest.json", Body=b'{"id": "1"}')
    found, tag = shelf.changed("")
    assert found == {"id": "1"}
    assert shelf.changed(tag) == (None, tag)
    s3.put_object(Bucket="looks", Key="main/latest.json", Body=b'{"id": "2"}')
    assert shelf.changed(tag)[0] == {"id": "2"}
