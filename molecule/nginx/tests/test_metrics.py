"""What nginx tells of its requests over StatsD arrives where the CloudWatch agent would listen, and adds up."""

import json
import re
from collections import Counter

import pytest
from race import TOKENS, connect, new_collection

READER = "molecule-reader-0123456789abcdef"
LINE = re.compile(r"(?P<name>\w+):(?P<value>[\d.e+-]+)\|(?P<kind>c|ms)(\|@(?P<rate>[\d.]+))?\|#(?P<tags>\S+)")
# 20 good ones, 5 without a token, 3 of a route that isn't there, 4 health checks.
ASKED = (
    20 * [["/api/v2/version", READER]]
    + 5 * [["/api/v2/version", ""]]
    + 3 * [["/nothing", READER]]
    + 4 * [["/health", ""]]
)
LISTEN = """
import http.client, json, socket, ssl, sys, time
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(("127.0.0.1", 8125))
heard.settimeout(0.2)
def listen(until):
    while time.monotonic() < until:
        try:
            yield heard.recv(65536).decode()
        except TimeoutError:
            pass
# Each worker sends when it is its time: what others asked for before is let pass.
list(listen(time.monotonic() + 11))
context = ssl._create_unverified_context()
for path, token in json.loads(sys.argv[1]):
    nginx = http.client.HTTPSConnection("127.0.0.1", context=context)
    nginx.request("GET", path, headers={"Authorization": "Bearer " + token} if token else {})
    nginx.getresponse().read()
print(json.dumps(list(listen(time.monotonic() + 11))))
"""


@pytest.fixture(scope="module")
def packets(host):
    with connect(f"https://{host.interface('eth0').addresses[0]}", TOKENS[0]) as client:
        count = f"{new_collection(client)}/count"
    # The first time it is asked of Chroma, then of the cache.
    asked = [*ASKED, *4 * [[count, READER]]]
    return json.loads(host.check_output("python3 -c %s %s", LISTEN, json.dumps(asked)))


@pytest.fixture(scope="module")
def lines(packets):
    found = [LINE.fullmatch(line) for packet in packets for line in packet.split("\n")]
    assert all(found), packets
    return [match.groupdict() for match in found]


def test_requests_are_counted_and_health_checks_not(lines):
    counts = Counter()
    for line in lines:
        if line["kind"] == "c":
            counts[line["name"]] += int(line["value"])
    assert counts == {"Requests": 32, "ClientErrors": 8, "CacheHits": 3, "CacheMisses": 1}


def test_times_have_the_weight_of_the_requests(lines):
    weights = Counter()
    for line in lines:
        if line["kind"] == "ms":
            assert 0 < float(line["value"]) < 5000
            weights[line["name"]] += 1 / float(line["rate"] or 1)
    # Those that went to Chroma waited in the queue, if only for no time.
    assert {name: round(weight) for name, weight in weights.items()} == {
        "RequestMilliseconds": 32,
        "QueueMilliseconds": 21,
    }


def test_metrics_carry_the_dimensions_and_fit_into_packets(lines, packets):
    assert {line["tags"] for line in lines} == {"Cell:main,Fleet:molecule,Role:writer"}
    assert max(map(len, packets)) <= 1400
