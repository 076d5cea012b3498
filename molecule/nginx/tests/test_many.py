"""Ten thousand connections, and a thousand clients that ask without a pause. On one platform."""

import asyncio
import collections
import socket
import time

from load import CONTEXT

testinfra_hosts = ["ansible://*debian13"]

ADMIN = "molecule-admin-0123456789abcdef"
CONNECTIONS, CLIENTS, SECONDS = 10_000, 1_000, 5
REQUEST = f"GET /api/v2/version HTTP/1.1\r\nHost: chroma.example.com\r\nAuthorization: Bearer {ADMIN}\r\n\r\n".encode()


async def ask(reader, writer):
    """Status and headers of the answer, which has a length."""
    writer.write(REQUEST)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    if "content-length" in headers:
        await reader.readexactly(int(headers["content-length"]))
    else:
        # In chunks, the last of which is empty.
        await reader.readuntil(b"0\r\n\r\n")
    return int(head.split()[1]), headers


async def crowd(host, address):
    limit = asyncio.Semaphore(50)
    seen = collections.Counter()

    async def connect():
        async with limit:
            streams = await asyncio.open_connection(address, 443, ssl=CONTEXT, ssl_handshake_timeout=120)
            await ask(*streams)
            return streams

    async def closed_loop(reader, writer):
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            status, headers = await ask(reader, writer)
            seen[status, "retry-after" in headers] += 1

    active = await asyncio.gather(*(connect() for _ in range(CLIENTS)))
    # Those that say nothing are sent away after a while: they come last.
    idle = [socket.create_connection((address, 443)) for _ in range(CONNECTIONS - CLIENTS)]
    status = "curl --silent --fail http://127.0.0.1:8081/nginx_status"
    told, *_ = await asyncio.gather(
        asyncio.to_thread(host.check_output, status), *(closed_loop(*streams) for streams in active)
    )
    for connection in idle:
        connection.close()
    for _, writer in active:
        writer.transport.abort()
    return int(told.split()[2]), seen


def test_nobody_is_told_an_error_but_to_come_again(address, host, chroma):
    connections, seen = asyncio.run(crowd(host, address))
    assert connections >= CONNECTIONS
    assert set(seen) - {(429, True), (503, True)} == {(200, False)}, seen
    assert seen[200, False] > CLIENTS
    said = host.file("/var/log/nginx/error.log").content
    assert b"worker_connections are not enough" not in said
    assert b"Too many open files" not in said
