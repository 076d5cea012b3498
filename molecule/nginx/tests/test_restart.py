"""A restart of Chroma under load: reads never fail, no write is done twice, and behind a fence nothing fails."""

import http.client
import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from load import Client, running

ADMIN = "molecule-admin-0123456789abcdef"
FENCED = "/usr/local/sbin/chromafleet-fenced"
READER = "molecule-acme-read-0123456789abcdef"
SHOP = "/api/v2/tenants/acme/databases/restarts/collections"


@pytest.fixture(scope="module")
def collection(address):
    admin = Client(address, ADMIN)
    for path, name in (("/api/v2/tenants", "acme"), ("/api/v2/tenants/acme/databases", "restarts")):
        admin.ask("POST", path, {"name": name})
    made = admin.json("POST", SHOP, {"name": "read", "get_or_create": True})["id"]
    first = {"ids": ["a", "b"], "embeddings": [[1, 2], [2, 1]], "metadatas": [{"kind": "x"}, {"kind": "y"}]}
    admin.ask("POST", f"{SHOP}/{made}/upsert", first)
    return made


@pytest.fixture
def clients(address, collection):
    """Two that read, one with a token of the tenant, and four that write."""

    def read(token, body):
        def run(load, _):
            client = Client(address, token)
            while not load.ended.is_set():
                load.note("read", client, "POST", f"{SHOP}/{collection}/query", body)
                load.note("read", client, "GET", f"{SHOP}/{collection}/count")

        return run

    def write(load, number):
        """Made and removed by its name: done twice, the first would be told 409, the second 404."""
        client = Client(address, ADMIN)
        for count in range(1_000_000):
            if load.ended.is_set():
                break
            name = f"w-{number}-{count}-{uuid.uuid4().hex[:8]}"
            if load.note("write", client, "POST", SHOP, {"name": name}) == 200:
                load.note("write", client, "DELETE", f"{SHOP}/{name}")
            added = {"ids": [name], "embeddings": [[count, number]]}
            load.added[name] = load.note("write", client, "POST", f"{SHOP}/{collection}/add", added)

    query = {"query_embeddings": [[1, 2]]}
    return [read(READER, query), read(ADMIN, query | {"where": {"kind": "x"}}), write, write, write, write]


def fenced(fence):
    status, state = fence("PUT", "?owner=test&hold=30&for=60&wait=20")
    assert (status, state["fenced"], state["in_flight"]) == (200, True, 0)


def test_a_planned_restart_fails_nothing(chroma, clients, fence):
    with running(*clients) as load:
        load.until(100)
        fenced(fence)
        chroma("restart")
        status, _ = fence("DELETE", "?owner=test")
        assert status == 200
        load.until(100)
    assert {kind: set(told) for kind, told in load.seen.items()} == {"read": {200}, "write": {200, 201}}


def test_a_server_that_is_told_to_end(chroma, clients):
    """Nobody knew: a write that it had been given and not answered is told 503, which is the truth."""
    with running(*clients) as load:
        load.until(100)
        chroma("kill --signal TERM")
        chroma("start")
        load.until(100)
    assert set(load.seen["read"]) == {200}
    assert set(load.seen["write"]) <= {200, 201, 503}


def test_a_server_that_is_killed(address, chroma, clients, collection, fence):
    """It dies with a write of each client under way, which are told so; those that come wait."""
    with running(*clients) as load:
        load.until(100)
        chroma("pause")
        deadline = time.monotonic() + 20
        while fence("GET")[1]["in_flight"] < 4:
            assert time.monotonic() < deadline
        chroma("kill")
        time.sleep(1)
        chroma("start")
        load.until(100)
    assert set(load.seen["read"]) == {200}
    assert set(load.seen["write"]) == {200, 201, 503}
    # What a client had under way may be done or not; it has two where it asked again while the sockets were closed.
    assert 1 <= load.seen["write"][503] <= 2 * 4
    wanted = {"ids": list(load.added), "include": []}
    there = set(Client(address, ADMIN).json("POST", f"{SHOP}/{collection}/get", wanted)["ids"])
    assert {name for name, status in load.added.items() if status == 201} <= there
    assert set(load.added.values()) <= {201, 503}


def test_a_server_that_stays_away(address, chroma, collection):
    """Waiting is bounded, for many clients as for one."""
    chroma("kill")
    answers = []

    def ask():
        client = Client(address, ADMIN)
        client.headers["Cache-Control"] = "no-cache"
        began = time.monotonic()
        status, headers, body = client.ask("GET", f"{SHOP}/{collection}/count")
        answers.append((status, headers["Retry-After"], json.loads(body)["error"], time.monotonic() - began))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer[:3] for answer in answers} == {(503, "5", "InternalError")}
    assert all(11 < seconds < 25 for *_, seconds in answers)


def test_writes_wait_behind_the_fence_and_reads_go_on(address, chroma, collection, fence):
    admin = Client(address, ADMIN)
    assert fence("PUT", "?owner=test&hold=1&for=30")[0] == 200
    began = time.monotonic()
    status, headers, body = admin.ask("POST", f"{SHOP}/{collection}/upsert", {"ids": ["c"], "embeddings": [[1, 1]]})
    assert (status, json.loads(body)["error"]) == (503, "InternalError")
    assert 1 <= int(headers["Retry-After"]) <= 30
    assert time.monotonic() - began >= 1
    for method, path, body in (("POST", "/query", {"query_embeddings": [[1, 2]]}), ("GET", "/count", None)):
        assert admin.ask(method, f"{SHOP}/{collection}{path}", body)[0] == 200
    # What is a write is not told by the method.
    for method, path, body in (("PUT", f"/{collection}", {}), ("DELETE", "/none", None), ("POST", "", {"name": "n"})):
        assert admin.ask(method, SHOP + path, body)[0] == 503
    assert fence("GET")[1]["waiting"] == 0


def test_a_short_wait_ends_in_time(address, collection, fence):
    """However the clock's steps fall: a wait of less than one must not keep the worker from all else."""
    admin = Client(address, ADMIN, timeout=5)
    assert fence("PUT", "?owner=test&hold=0.03&for=60")[0] == 200
    record = {"ids": ["s"], "embeddings": [[1, 1]]}
    told = {admin.ask("POST", f"{SHOP}/{collection}/upsert", record)[0] for _ in range(60)}
    assert told == {503}


def upsert(address, collection, name):
    """The status that a client of its own is told, or what broke its connection."""
    record = {"ids": [name], "embeddings": [[1, 1]]}
    try:
        return Client(address, ADMIN).ask("POST", f"{SHOP}/{collection}/upsert", record)[0]
    except (OSError, http.client.HTTPException) as broken:
        return repr(broken)


def test_a_write_that_waited_is_done_when_the_fence_opens(address, chroma, collection, fence):
    assert fence("PUT", "?owner=test&hold=30&for=30")[0] == 200
    with ThreadPoolExecutor(5) as pool:
        told = [pool.submit(upsert, address, collection, f"d{number}") for number in range(5)]
        deadline = time.monotonic() + 20
        while fence("GET")[1]["waiting"] < 5:
            assert time.monotonic() < deadline
        assert not any(one.done() for one in told)
        assert fence("DELETE", "?owner=test")[0] == 200
        assert [one.result() for one in told] == [200] * 5


def test_the_fence_opens_by_itself_and_says_so(address, chroma, collection, fence):
    assert fence("PUT", "?owner=test&hold=30&for=1")[0] == 200
    assert upsert(address, collection, "e") == 200
    status, state = fence("DELETE", "?owner=test")
    assert (status, state["fenced"]) == (409, False)


def test_the_fence_has_one_owner(host, fence):
    assert fence("PUT", "?owner=snapshot&hold=1&for=30")[0] == 200
    assert fence("PUT", "?owner=restart&hold=1&for=30")[0] == 409
    assert fence("DELETE", "?owner=restart")[0] == 409
    assert fence("PUT", "?owner=snapshot&hold=1&for=60")[0] == 200
    host.check_output("systemctl reload nginx")
    assert fence("GET")[1]["owner"] == "snapshot"
    assert fence("DELETE", "?owner=snapshot")[0] == 200
    for wrong in ("", "hold=1", "hold=-1&for=1", "hold=1&for=nan", "hold=1&for=99999", "hold=1&for=1&wait=x"):
        assert fence("PUT", f"?owner=a&{wrong}")[0] == 400


def test_a_crashed_worker_leaves_no_write_under_way(address, host, chroma, collection, fence):
    """Chroma stands still with a write; the worker that passed it on is killed."""
    chroma("pause")
    try:
        write = ThreadPoolExecutor(1).submit(upsert, address, collection, "f")
        deadline = time.monotonic() + 20
        while fence("GET")[1]["in_flight"] == 0:
            assert time.monotonic() < deadline
        status, state = fence("PUT", "?owner=test&hold=1&for=30&wait=1")
        assert (status, state["in_flight"], state["fenced"]) == (504, 1, True)
        host.check_output("kill -9 $(pgrep --parent $(cat /run/nginx.pid))")
        assert not isinstance(write.result(), int)
        while fence("GET")[1]["in_flight"] > 0:
            assert time.monotonic() < deadline
    finally:
        chroma("unpause")


def test_a_command_runs_behind_the_fence(host, fence):
    said = host.check_output(f"{FENCED} snapshot -- curl --silent http://127.0.0.1:8081/fence")
    assert json.loads(said)["owner"] == "snapshot"
    assert fence("GET")[1]["fenced"] is False
    assert host.run(f"{FENCED} restart -- sh -c 'exit 3'").rc == 3
    assert fence("GET")[1]["fenced"] is False
    # Nobody writes through an nginx that isn't there.
    assert host.run(f"{FENCED} --port 9 restart -- true").rc == 0


def test_a_command_whose_fence_does_not_hold_fails(host, fence):
    done = host.run(f"{FENCED} --for 1 snapshot -- sleep 1.5")
    assert done.rc == 75
    assert "did not hold" in done.stderr
    assert fence("PUT", "?owner=test&hold=1&for=30")[0] == 200
    done = host.run(f"{FENCED} snapshot -- touch /run/never")
    assert done.rc == 75
    assert "held by test" in done.stderr
    assert not host.file("/run/never").exists
    assert fence("GET")[1]["owner"] == "test"
