"""Answers calls with errors, as told: `POST /localcloud/faults` with a Fault as JSON; `DELETE` takes all back."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.request import determine_request_protocol
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from localcloud.calls import CALL, Call, Wsgi

PATH = "/localcloud/faults"


class Injected(ServiceException):
    """An error that belongs to no service of moto's."""


@dataclass
class Fault:
    """The next `times` calls of an operation answer this error."""

    service: str
    operation: str
    code: str
    message: str = "Injected"
    status: int = 400
    times: int = 1


def faults(app: Wsgi) -> Wsgi:
    """`app`, but for the calls that shall fail."""
    wanted: list[Fault] = []
    lock = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            return _configure(environ, start_response)
        call = environ[CALL]
        fault = _take(call) if call else None
        if fault is None:
            return app(environ, start_response)
        content_type = environ.get("CONTENT_TYPE", "")
        headers, body = error(call.service, call.operation, content_type, fault.code, fault.message)
        start_response(f"{fault.status} {HTTPStatus(fault.status).phrase}", list(headers.items()))
        return [body]

    def _take(call: Call) -> Fault | None:
        with lock:
            for fault in wanted:
                if (fault.service, fault.operation) == (call.service, call.operation) and fault.times:
                    fault.times -= 1
                    return fault
        return None

    def _configure(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with lock:
            if environ["REQUEST_METHOD"] == "POST":
                body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
                wanted.append(Fault(**json.loads(body)))
            elif environ["REQUEST_METHOD"] == "DELETE":
                wanted.clear()
            told = json.dumps([asdict(fault) for fault in wanted]).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(told)))])
        return [told]

    return answer


def error(service: str, operation: str, content_type: str, code: str, message: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of an error, in the protocol in which the service was asked."""
    model = get_service_model(service)
    serializer = get_serializer_class(service, determine_request_protocol(model, content_type))
    with warnings.catch_warnings():
        # Throttling and the like are in no service's model.
        warnings.simplefilter("ignore")
        told = serializer(model.operation_model(operation)).serialize(Injected(code, message))
    body = told["body"]
    body = body.encode() if isinstance(body, str) else body
    headers = {name: str(value) for name, value in told["headers"].items()}
    return {**headers, "Content-Length": str(len(body))}, body
