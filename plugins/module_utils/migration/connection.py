# SPDX-License-Identifier: Apache-2.0
"""JSON over HTTP with patience: what a busy or restarting server answers is asked for again."""

from __future__ import annotations

import email.utils
import http.client
import itertools
import json
import random
import ssl
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from .errors import MigrationError, RefusedError, is_quota

# A server that is busy, or a load balancer whose server is away.
BUSY = {429, 502, 503, 504}
LONGEST_PAUSE = 30.0
# Chroma 1.5.9 sometimes answers 500 where it opens a collection for the first time; damaged data does so always.
TRIES_AFTER_500 = 4
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class _Own(threading.local):
    """A connection for each thread, kept open between calls."""

    connection: http.client.HTTPConnection | None = None


class Connection:
    """A server at `url` (with a path, if it stands behind one), which gets `headers` with every request.

    `ca_file` holds certificates to trust in place of the system's; on the loopback interface whatever name is in them.
    A call that finds the server busy or away tries for `patience` seconds, and an answer may take `timeout` seconds.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        *,
        ca_file: str | None = None,
        timeout: float = 300,
        patience: float = 300,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise MigrationError(f'"{url}" is no address of a server: expected https://host[:port].')
        if parts.username or parts.query or parts.fragment:
            raise MigrationError(
                f'"{parts.scheme}://{parts.hostname}" has more than host, port and path: give the token by itself.'
            )
        self.url = url.rstrip("/")
        self.patience = patience
        self._parts = parts
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._timeout = timeout
        self._own = _Own()
        try:
            self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
            if self._tls and ca_file and parts.hostname in LOOPBACK:
                self._tls.check_hostname = False
        except OSError as error:
            raise MigrationError(f'The file of certificates "{ca_file}" can\'t be read: {error}.') from error

    def call(self, method: str, path: str, body: Any = None, *, patience: float | None = None) -> Any:
        """The answer to a request (from JSON), or RefusedError, or MigrationError when the patience is over."""
        payload = None if body is None else json.dumps(body, allow_nan=False).encode()
        ends = time.monotonic() + (self.patience if patience is None else patience)
        for attempt in itertools.count():
            asked = None
            try:
                status, headers, answer = self._send(method, path, payload)
            except ssl.SSLCertVerificationError as error:
                raise MigrationError(
                    f"The certificate of {self.url} is not trusted ({error.verify_message}): give its CA as ca_file."
                ) from error
            except (OSError, http.client.HTTPException) as error:
                trouble = f"can't be reached ({type(error).__name__}: {error})"
            else:
                if status < 300:
                    return json.loads(answer) if answer.strip() else None
                reason = _reason(answer)
                again = status in BUSY or (status == 500 and attempt < TRIES_AFTER_500)
                if not again or is_quota(reason):
                    raise self._refusal(method, path, status, headers, reason)
                trouble, asked = f"is busy ({status} {reason})", _retry_after(headers)
            pause = min(LONGEST_PAUSE, 0.25 * 2**attempt) * random.uniform(0.5, 1)  # noqa: S311 - no secret
            pause = pause if asked is None else asked
            if time.monotonic() + pause > ends:
                raise MigrationError(f"{self.url} {trouble}: start the same command again when it is back.")
            time.sleep(pause)
        raise AssertionError("itertools.count() never ends")

    def _send(self, method: str, path: str, payload: bytes | None) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = self._own.connection or self._open()
        self._own.connection = None
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body=payload, headers=self._headers)
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()
            raise
        self._own.connection = connection
        return response.status, response.headers, answer

    def _open(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname, self._parts.port
        if self._tls:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self._timeout)

    def _refusal(
        self, method: str, path: str, status: int, headers: http.client.HTTPMessage, reason: str
    ) -> RefusedError:
        if status in (301, 302, 303, 307, 308):
            sentence = f"{self.url} redirects to {headers.get('Location')}: give that address."
        elif status in (401, 403):
            sentence = (
                f"{self.url} refuses the token for {method} {path} ({status} {reason}): check token and token_header."
            )
        else:
            sentence = f"{self.url} answers {method} {path} with {status} {reason}."
        return RefusedError(sentence, status, reason)


def _reason(answer: bytes) -> str:
    """A server's own words; Chroma's errors are `{"error": class, "message": words}`."""
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer[:200].decode(errors="replace").strip()


def _retry_after(headers: http.client.HTTPMessage) -> float | None:
    """How long a server asks to wait (seconds), which it says as a number or as a date."""
    value = headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
