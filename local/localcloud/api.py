"""The AWS API: moto in server mode, patched, that tells the followers when something was changed."""

from __future__ import annotations

import argparse
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from localcloud import patches
from localcloud.calls import CALL, Wsgi, recognise
from localcloud.faults import faults
from localcloud.journal import journal
from localcloud.settings import API_HOST, API_PORT


class Quiet(MotoRequestHandler):
    """moto's request handler without a log line for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: followers alone make several calls a second."""


def recognising(app: Wsgi) -> Wsgi:
    """`app`, which finds in its environment what is called."""

    def look(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[CALL] = recognise(environ)
        return app(environ, start_response)

    return look


def announcing(app: Wsgi, changed: Callable[[], None]) -> Wsgi:
    """`app`, calling `changed` after every call that may have changed something."""

    def announce(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = app(environ, start_response)
        if environ[CALL] and environ[CALL].writes:
            changed()
        return answer

    return announce


def application(changed: Callable[[], None]) -> Wsgi:
    """The API, calling `changed` after every call that may have changed something."""
    patches.apply_all()
    return recognising(journal(faults(announcing(DomainDispatcherApplication(create_backend_app), changed))))


def serve(app: Wsgi, host: str, port: int, listener: socket.socket | None = None) -> BaseWSGIServer:
    """Serve an application in a thread; on a copy of `listener`, if one is given."""
    fd = listener.fileno() if listener else None
    server = make_server(host, port, app, threaded=True, request_handler=Quiet, fd=fd)
    threading.Thread(target=server.serve_forever, name=f"{host}:{server.port}", daemon=True).start()
    return server


def main() -> None:
    """Serve the API alone, without instances behind it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--host", default=API_HOST)
    parser.add_argument("--port", type=int, default=API_PORT, help="0 for a free one")
    options = parser.parse_args()
    server = serve(application(lambda: None), options.host, options.port)
    print(f"http://{options.host}:{server.server_port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
