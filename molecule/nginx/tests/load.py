"""Clients that read and write, each over a connection that it keeps, while something happens.

A fast machine would answer one of them more often than a token may ask in a second (`nginx_token_rate`), and what it
was told then would say nothing of what happens; so each asks `A_SECOND` times at the most.
"""

import collections
import contextlib
import http.client
import json
import ssl
import threading
import time

CONTEXT = ssl._create_unverified_context()  # noqa: S323 (the host's certificate is signed by itself)

A_SECOND = 100


class Client:
    """One connection to the endpoint."""

    def __init__(self, address, token, timeout=60):
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.connection = http.client.HTTPSConnection(address, 443, timeout=timeout, context=CONTEXT)

    def ask(self, method, path, body=None):
        """Status, headers and body; what breaks the connection is raised."""
        self.connection.request(method, path, body if body is None else json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def json(self, method, path, body=None):
        status, _, text = self.ask(method, path, body)
        assert status < 300, (method, path, status, text)
        return json.loads(text)


class Load:
    """What the clients saw: by name of the client's kind, how often each status, or what was raised."""

    def __init__(self):
        self.seen = collections.defaultdict(collections.Counter)
        self.slowest = collections.defaultdict(float)
        #: What clients wanted to have added, and the status that they were told of it.
        self.added = {}
        self.ended = threading.Event()

    def note(self, kind, client, *request):
        """Ask, and count what came back; the status, or 0 where nothing came."""
        began = time.monotonic()
        try:
            status, headers, _ = client.ask(*request)
            told = status if status != 503 or "Retry-After" in headers else "503 without Retry-After"
        except (OSError, http.client.HTTPException) as broken:
            client.connection.close()
            status, told = 0, repr(broken)
        self.seen[kind][told] += 1
        took = time.monotonic() - began
        self.slowest[kind] = max(self.slowest[kind], took)
        self.ended.wait(max(0, 1 / A_SECOND - took))
        return status

    def total(self):
        return sum(sum(told.values()) for told in self.seen.values())

    def until(self, more):
        """Wait until so many more requests were answered."""
        wanted, deadline = self.total() + more, time.monotonic() + 60
        while self.total() < wanted:
            assert time.monotonic() < deadline, dict(self.seen)
            time.sleep(0.01)


@contextlib.contextmanager
def running(*clients):
    """Run each of the functions, which take the load and a number, in threads of their own until the block ends."""
    load = Load()
    threads = [threading.Thread(target=client, args=(load, number)) for number, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.ended.set()
        for thread in threads:
            thread.join()
