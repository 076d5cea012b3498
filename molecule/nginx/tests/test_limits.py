"""Too much at a time: who asks too often is told so, and Chroma never has more under way than it can answer."""

import collections
import json
import time

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
