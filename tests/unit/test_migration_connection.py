"""How the migration treats a server that is busy, strict or not what it seems: nginx, a load balancer, Chroma Cloud."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.migration.chroma import Server
from ansible_collections.chromafleet.aws.plugins.module_utils.migration.connection import Connection
from ansible_collections.chromafleet.aws.plugins.module_utils.migration.errors import MigrationError
from ansible_collections.chromafleet.aws.plugins.module_utils.migration.records import Collection, Record, pack

CHECKS = {"max_batch_size": 1000, "supports_base64_encoding": True}


class Edge(ThreadingHTTPServer):
    """Gives the answers that a test lays out for it, (status, headers, body) or a function of the request's body."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers, self.seen = [], []

    def answer(self, *answers):
        self.answers[:] = answers


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), json.loads(body or "null")))
        answer = self.server.answers[0] if len(self.server.answers) == 1 else self.server.answers.pop(0)
        status, headers, body = answer(json.loads(body or "null")) if callable(answer) else answer
        if status == 0:
            self.close_connection = True
            return
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(payload))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    do_POST = do_GET  # noqa: N815 - the name that http.server asks for

    def log_message(self, *_):
        pass


@pytest.fixture
def edge():
    server = Edge()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def refused(status, message):
    return (status, {}, {"error": "Some", "message": message})


def test_waits_as_long_as_it_is_asked_to(edge):
    edge.answer((503, {"Retry-After": "1"}, {}), (429, {"Retry-After": "0"}, {}), (0, {}, {}), (200, {}, {"fine": 1}))
    began = time.monotonic()
    assert Connection(edge.url).call("GET", "/x") == {"fine": 1}
    assert 1 <= time.monotonic() - began < 4
    assert len(edge.seen) == 4


def test_an_error_of_the_server_is_asked_for_again_a_few_times(edge):
    edge.answer(refused(500, "Failed to receive response"), (200, {}, {"fine": 1}))
    assert Connection(edge.url).call("GET", "/x") == {"fine": 1}
    edge.answer(refused(500, "it is broken"))
    with pytest.raises(MigrationError, match=r"answers GET /x with 500 it is broken\.$"):
        Connection(edge.url).call("GET", "/x")
    assert len(edge.seen) == 2 + 5


def test_its_patience_ends(edge):
    edge.answer(refused(503, "ChromaDB is starting"))
    with pytest.raises(MigrationError) as error:
        Connection(edge.url, patience=0.5).call("GET", "/x")
    assert str(error.value) == (
        f"{edge.url} is busy (503 ChromaDB is starting): start the same command again when it is back."
    )


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (refused(401, "no token"), "refuses the token for GET /x (401 no token): check token and token_header."),
        ((308, {"Location": "https://there/"}, {}), "redirects to https://there/: give that address."),
        (refused(400, "no such thing"), "answers GET /x with 400 no such thing."),
        (refused(429, "Quota exceeded for collections"), "answers GET /x with 429 Quota exceeded for collections."),
    ],
)
def test_what_waiting_does_not_change_is_told_at_once(edge, answer, sentence):
    edge.answer(answer)
    with pytest.raises(MigrationError) as error:
        Connection(edge.url).call("GET", "/x")
    assert str(error.value) == f"{edge.url} {sentence}"
    assert len(edge.seen) == 1


def test_a_server_of_another_kind_is_told(edge):
    edge.answer(refused(404, "Not Found"))
    with pytest.raises(MigrationError, match=r"does not speak Chroma's API v2: stop that server and migrate its dir"):
        Server(Connection(edge.url))
    edge.answer((200, {}, "hello"))
    with pytest.raises(MigrationError, match=r"does not answer as a Chroma server does: check the address\.$"):
        Server(Connection(edge.url))


RECORDS = [Record(f"id{number}", pack([1.0, 2.0]), "text", {"n": number}, None) for number in range(10)]


@pytest.mark.parametrize(("status", "reason"), [(413, "too long"), (429, "Number of records exceeded quota limit")])
def test_a_batch_that_is_too_large_is_halved(edge, status, reason):
    taken = []

    def take(body):
        if len(body["ids"]) > 3:
            return refused(status, reason)
        taken.extend(body["ids"])
        return (200, {}, {})

    edge.answer((200, {}, CHECKS), take, *[take] * 30)
    database = Server(Connection(edge.url)).database("tenant", "a b")
    database.upsert(Collection("some", id="uuid"), RECORDS)
    assert taken == [record.id for record in RECORDS]
    assert edge.seen[1][1] == "/api/v2/tenants/tenant/databases/a%20b/collections/uuid/upsert"


def test_a_record_that_is_too_large_is_named(edge):
    edge.answer((200, {}, CHECKS), refused(413, "too long"))
    database = Server(Connection(edge.url)).database("tenant", "base")
    with pytest.raises(MigrationError) as error:
        database.upsert(Collection("some", id="uuid"), RECORDS)
    assert str(error.value) == (
        f'The record "id0" of collection "some" is more than {edge.url} takes (too long): '
        "shorten it, or raise the limit there."
    )


def test_no_request_holds_more_than_the_server_takes(edge):
    edge.answer((200, {}, {**CHECKS, "max_batch_size": 4}), (200, {}, {}))
    Server(Connection(edge.url)).database("tenant", "base").upsert(Collection("some", id="uuid"), RECORDS)
    assert [len(body["ids"]) for *_, body in edge.seen[1:]] == [4, 4, 2]


def test_a_quota_of_results_is_respected(edge):
    """As in Chroma Cloud: at most 300 results, of which one was deleted between the listing and the reading."""
    stored = [f"id{number}" for number in range(450)]

    def get(body):
        if body["limit"] > 300:
            return refused(429, "Number of results exceeded quota limit: current 10000, limit 300")
        offset = body.get("offset", 0)
        ids = [one for one in body["ids"] if one != "id7"] if "ids" in body else stored[offset : offset + body["limit"]]
        return (200, {}, {"ids": ids, "embeddings": [[1.0]] * len(ids)})

    edge.answer((200, {}, CHECKS), *[get] * 20)
    database = Server(Connection(edge.url)).database("tenant", "base")
    batches = list(database.batches(Collection("some", id="uuid"), 100))
    assert [len(batch) for batch in batches] == [99, 100, 100, 100, 50]
    assert [record.id for batch in batches for record in batch] == [one for one in stored if one != "id7"]


def test_the_headers_go_with_every_request(edge):
    edge.answer((200, {}, CHECKS))
    Server(Connection(edge.url + "/behind/", {"x-chroma-token": "secret"}))
    _, path, headers, _ = edge.seen[0]
    assert path == "/behind/api/v2/pre-flight-checks"
    assert headers["x-chroma-token"] == "secret"
