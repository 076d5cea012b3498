"""Requests as no library would send them, and clients that dawdle: refused, never passed on, never a 5xx."""

import gzip
import itertools
import json
import re
import socket
import time
import uuid

import pytest
from load import CONTEXT, Client

ADMIN = "molecule-admin-0123456789abcdef"
DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"
HEAD = f"Host: chroma.example.com\r\nAuthorization: Bearer {ADMIN}\r\n"
# A second request, which must not be seen as one.
HIDDEN = "GET /api/v2/version?{hidden} HTTP/1.1\r\n" + HEAD + "\r\n"
LINE = "GET /api/v2/heartbeat?{mark} HTTP/1.1\r\n"
POST = "POST " + DATABASE + "/collections/00000000-0000-0000-0000-000000000000/get?{mark} HTTP/1.1\r\n"
ENDS = "Connection: close\r\n\r\n"

# The request, and the statuses of the answers: one request, one answer.
RAW = {
    "length and chunks": (
        POST + HEAD + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        [400],
    ),
    "chunks and length": (
        POST + HEAD + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN,
        [400],
    ),
    "two lengths": (POST + HEAD + "Content-Length: 2\r\nContent-Length: 90\r\n\r\n{{" + HIDDEN, [400]),
    "a list of lengths": (POST + HEAD + "Content-Length: 2, 2\r\n\r\n{{" + HIDDEN, [400]),
    "a signed length": (POST + HEAD + "Content-Length: +2\r\n\r\n{{" + HIDDEN, [400]),
    "two encodings": (
        POST + HEAD + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        [400],
    ),
    "unknown encoding": (POST + HEAD + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN, [400]),
    "space before the colon": (POST + HEAD + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN, [400]),
    "folded header": (POST + HEAD + "X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN, [400]),
    "length that is too short": (POST + HEAD + "Content-Length: 2\r\nConnection: close\r\n\r\n{{}}" + HIDDEN, [404]),
    "broken chunk": (POST + HEAD + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + HIDDEN, [400]),
    "endless chunk": (POST + HEAD + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + HIDDEN, [400]),
    "length beyond the limit": (POST + HEAD + "Content-Length: 99999999999\r\n\r\n", [413]),
    "chunk beyond the limit": (POST + HEAD + "Transfer-Encoding: chunked\r\n\r\n2800001\r\n{{}}", [413]),
    "bare line feeds": ((LINE + HEAD + ENDS).replace("\r\n", "\n"), [200]),
    "header with an underscore": (LINE + HEAD + "Content_Length: 9\r\nTransfer_Encoding: chunked\r\n" + ENDS, [200]),
    "null in a header": (LINE + HEAD + "X-A: a\0b\r\n" + ENDS, [400]),
    "control in a name": (LINE + HEAD + "X\x01A: b\r\n" + ENDS, [400]),
    "no host": (LINE + f"Authorization: Bearer {ADMIN}\r\n" + ENDS, [400]),
    "two hosts": (LINE + HEAD + "Host: other\r\n" + ENDS, [400]),
    "two tokens": (LINE + "Authorization: Bearer wrong\r\n" + HEAD + ENDS, [400]),
    "too long a header": (LINE + HEAD + "X-A: " + "a" * 40000 + "\r\n" + ENDS, [400]),
    # Just above 8 KiB: nginx answers and reads no further, so that of a longer one a client may see a reset only.
    "too long a path": ("GET /" + "a" * 8200 + "?{mark} HTTP/1.1\r\n" + HEAD + ENDS, [414]),
    "another method by header": (LINE + HEAD + "X-HTTP-Method-Override: DELETE\r\n" + ENDS, [200]),
    "method in lower case": (LINE.replace("GET", "get") + HEAD + ENDS, [400]),
    "unknown method": (LINE.replace("GET", "BREW") + HEAD + ENDS, [405]),
    "connect": ("CONNECT chroma.example.com:443 HTTP/1.1\r\n" + HEAD + ENDS, [400, 405]),
    "version 2": (LINE.replace("1.1", "2.0") + HEAD + ENDS, [400]),
    "version 9": (LINE.replace("1.1", "9.9") + HEAD + ENDS, [400]),
    "no version": ("GET /api/v2/heartbeat?{mark}\r\n", [401]),
    "another server's address": (LINE.replace("/api", "http://169.254.169.254/api") + HEAD + ENDS, [200]),
    "noise": ("\x16\x03\x01" + "\xff" * 200 + "\r\n\r\n", [400]),
}


def converse(address, text):
    """What comes back until the server ends the connection or says nothing more."""
    said = b""
    with CONTEXT.wrap_socket(socket.create_connection((address, 443), timeout=5)) as connection:
        try:
            connection.sendall(text.encode("latin-1"))
            while part := connection.recv(65536):
                said += part
        except OSError:
            pass
    return said


def entries(host, mark):
    lines = host.run("grep --fixed-strings %s /var/log/nginx/access.log", mark).stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", RAW)
def test_a_request_is_one_request(address, host, chroma, name):
    text, wanted = RAW[name]
    mark, hidden = uuid.uuid4().hex, uuid.uuid4().hex
    said = converse(address, text.format(mark=mark, hidden=hidden))
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", said)]
    # "no version" is HTTP/0.9: the answer is a body and nothing else.
    if name == "no version":
        statuses = [entry["status"] for entry in entries(host, mark)]
    assert len(statuses) == 1, said
    assert statuses[0] in wanted, said
    assert entries(host, hidden) == []
    if statuses[0] not in {200, 404}:
        assert [entry for entry in entries(host, mark) if entry["upstream_status"]] == []


BODIES = [
    "",
    "{",
    "[]",
    "null",
    "1",
    '"a"',
    '{"ids": 1}',
    '{"ids": [1]}',
    "[" * 5000,
    "\0",
    "\xff\xfe",
    '{"where": {"$x": 1}}',
    "{}}",
]
TYPES = ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]


def test_bodies_that_are_no_request(address, chroma):
    client = Client(address, ADMIN)
    made = client.json("POST", DATABASE + "/collections", {"name": "hostile", "get_or_create": True})["id"]
    path = f"{DATABASE}/collections/{made}"
    wrong = []
    for action, body, kind in itertools.product(("add", "upsert", "query", "get"), BODIES, TYPES):
        client.connection.request(
            "POST", f"{path}/{action}", body.encode("latin-1"), client.headers | {"Content-Type": kind}
        )
        answer = client.connection.getresponse()
        answer.read()
        if answer.status >= 500:
            wrong.append((action, body, kind, answer.status))
    assert wrong == []
    client.connection.request(
        "POST", f"{path}/get", gzip.compress(b"{}"), client.headers | {"Content-Encoding": "gzip"}
    )
    assert 400 <= client.connection.getresponse().status < 500


def test_slow_clients_hold_up_themselves_only(address, chroma):
    """More than Chroma has places for: silent in the header, in the body, or before they say anything."""
    header = LINE.format(mark="slow") + HEAD
    body = POST.format(mark="slow") + HEAD + "Content-Length: 1000\r\n\r\n{"
    began = time.monotonic()
    slow = []
    for text in ([header] * 40) + ([body] * 40):
        connection = CONTEXT.wrap_socket(socket.create_connection((address, 443), timeout=60))
        connection.sendall(text.encode())
        slow.append(connection)
    slow += [socket.create_connection((address, 443), timeout=60) for _ in range(100)]
    client = Client(address, ADMIN)
    for number in range(50):
        asked = time.monotonic()
        assert client.ask("GET", f"/api/v2/version?{number}")[0] == 200
        assert time.monotonic() - asked < 2
    for connection in slow:
        try:
            said = connection.recv(4096)
        except ConnectionError:
            said = b""
        assert said == b"" or b" 408 " in said
        connection.close()
    assert time.monotonic() - began < 60


def test_no_code_of_ours_failed_at_any_of_it(host):
    assert host.run("grep --text 'failed to run' /var/log/nginx/error.log").stdout == ""
