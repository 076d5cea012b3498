"""Too much at a time: who asks too often is told so, and Chroma never has more under way than it can answer."""

import collections
import json
import time
from concurrent.futures import Future, ThreadPoolExecutor

from load import Client

HEARTBEAT = "/api/v2/heartbeat"
READER = "molecule-reader-0123456789abcdef"
ADMIN = "molecule-admin-0123456789abcdef"
LOG = "/run/under-way"
# "200" or "429 1": the status, and Retry-After where there is one.
STATUS = "--output /dev/null --write-out '%{http_code} %header{retry-after}\\n'"


def curl(token, url, *options):
    """A command line; `url` may stand for many."""
    given = " ".join(options)
    return f"curl --silent --insecure --header 'Authorization: Bearer {token}' {given} 'https://127.0.0.1{url}'"


def flood(host, url, token, *options):
    at_once = ("--parallel", "--parallel-immediate", "--parallel-max 50")
    return host.check_output(curl(token, url, *at_once, *options)).splitlines()


def test_a_token_that_asks_too_often_is_told_so(host):
    told = collections.Counter(line.strip() for line in flood(host, f"{HEARTBEAT}?[1-4000]", READER, STATUS))
    assert set(told) == {"200", "429 1"}
    assert told["200"] >= 500
    # Nobody else is held up by it, and health checks are never counted.
    assert host.check_output(curl(ADMIN, HEARTBEAT, STATUS)).strip() == "200"
    assert {line.strip() for line in flood(host, "/health?[1-3000]", "none", STATUS)} == {"200"}


def test_the_reason_is_in_the_form_that_clients_read(host):
    # Answers of several connections come without line ends between them.
    said = "".join(flood(host, f"{HEARTBEAT}?[1-3000]", READER))
    refused = '{"error":"RateLimitError"' + said.partition('{"error":"RateLimitError"')[2].partition("}")[0] + "}"
    assert json.loads(refused)["message"].startswith("Too many requests")


def test_what_chroma_has_under_way_is_bounded(host, chroma):
    """It stands still: its places fill up, the others wait their time and are told to come again, none is lost."""
    places = 8 * int(host.check_output("nproc"))
    many, deadline = 60, time.monotonic() + 30

    def told(least):
        while len(lines := host.check_output(f"cat {LOG}").splitlines()) < least:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return collections.Counter(line.strip() for line in lines)

    host.check_output(f": > {LOG}")
    chroma("pause")
    try:
        one = curl(ADMIN, HEARTBEAT, "--max-time 60", STATUS)
        host.check_output(f"for i in $(seq {many}); do ({one} >> {LOG}) & done >/dev/null 2>&1")
        refused = told(many - places)
        assert set(refused) == {"503 1"}
    finally:
        chroma("unpause")
    every = told(many)
    assert every["200"] == many - every["503 1"]
    assert 0 < every["200"] <= places


PLAIN = [
    '{"query_embeddings": [[1, 2]]}',
    '{"query_embeddings": [[1, 2]], "where": null, "where_document": {}}',
    '{"query_embeddings": [[1, 2]], "include": ["where"], "ids": ["\\u0077here"]}',
]
FILTERED = [
    '{"where": null, "query_embeddings": [[1, 2]], "where": {"a": 1}}',
    '{"query_embeddings": [[1, 2]], "where_document" : {"$contains": "a"}}',
    '{"query_embeddings": [[1, 2]], "\\u0077here": {"a": 1}}',
    '{"where": {"a": 1}, "query_embeddings": [' + ",".join(["[1, 2]"] * 30_000) + "]}",
    '{"where": {"a": 1}',
]


def test_queries_with_a_filter_have_a_budget_of_their_own(address, host, chroma):
    """Chroma stands still: they are told so in their time and never take the places of the others, which wait on."""
    path = "/api/v2/tenants/default_tenant/databases/default_database/collections/00000000-0000-0000-0000-000000000000"
    kinds = {"plain": PLAIN * 2, "filtered": FILTERED * 4}

    def ask(kind, body, action):
        client = Client(address, ADMIN)
        # Each of its own, not one for all that ask the same.
        headers = client.headers | {"Cache-Control": "no-cache"}
        client.connection.request("POST", f"{path}/{action}", body, headers)
        answer = client.connection.getresponse()
        return kind, answer.status, answer.headers["Retry-After"], json.loads(answer.read())["message"]

    asks = [(kind, body, action) for kind, bodies in kinds.items() for body in bodies for action in ("get", "query")]
    asks = [one for number, one in enumerate(asks) if one[0] == "filtered" or number % 2]
    began = time.monotonic()
    with ThreadPoolExecutor(len(asks)) as pool:
        chroma("pause")
        try:
            told = [pool.submit(ask, *one) for one in asks]
            deadline = time.monotonic() + 30
            while sum(one.done() for one in told) < 2 * len(kinds["filtered"]):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            early = [one.result() for one in told if one.done()]
        finally:
            chroma("unpause")
    assert {kind for kind, *_ in early} == {"filtered"}
    seen = collections.Counter((status, again) for _, status, again, _ in early)
    assert set(seen) == {(503, "1"), (504, None)}
    # One place in each worker, of which each is given back after three seconds.
    assert 1 <= seen[504, None] <= int(host.check_output("nproc")) * (1 + (time.monotonic() - began) // 3)
    plain = {status for kind, status, *_ in map(Future.result, told) if kind == "plain"}
    assert {404} <= plain <= {404, 422}
