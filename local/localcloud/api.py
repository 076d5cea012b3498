"""The AWS API: moto in server mode, patched, that tells the followers when something was changed."""

from __future__ import annotations

import argparse
import io
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from localcloud import patches
from localcloud.settings import API_HOST, API_PORT

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

READS = re.compile(r"(Action=|\.)(Describe|List|Get|BatchGet|Head|Filter|Lookup)[A-Z]")
#: A form-encoded call with its user data is smaller than this; a larger body is an upload.
FORM_LIMIT = 256 * 1024


class Quiet(MotoRequestHandler):
    """moto's request handler without a log line for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: followers alone make several calls a second."""


def announcing(app: Wsgi, changed: Callable[[], None]) -> Wsgi:
    """`app`, calling `changed` after every call that may have changed something."""

    def announce(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        call = environ.get("HTTP_X_AMZ_TARGET", "")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if not call and 0 < length < FORM_LIMIT:
            body = environ["wsgi.input"].read(length)
            environ["wsgi.input"] = io.BytesIO(body)
            call = body.decode("latin-1")
        answer = app(environ, start_response)
        if ("Action=" in call or "." in call) and not READS.search(call):
            changed()
        return answer

    return announce


def serve(changed: Callable[[], None], host: str = API_HOST, port: int = API_PORT) -> BaseWSGIServer:
    """Start the API in a thread."""
    patches.apply_all()
    app = announcing(DomainDispatcherApplication(create_backend_app), changed)
    server = make_server(host, port, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, name="api", daemon=True).start()
    return server


def main() -> None:
    """Serve the API alone, without instances behind it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--host", default=API_HOST)
    parser.add_argument("--port", type=int, default=API_PORT)
    options = parser.parse_args()
    serve(lambda: None, options.host, options.port)
    threading.Event().wait()


if __name__ == "__main__":
    main()
