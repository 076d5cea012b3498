"""What a request to the API asks for: the service, the operation and the names in it, by botocore's service models."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

#: Where WSGI applications further in find the call.
CALL = "localcloud.call"

#: Services that sign with another name than that of their client.
CLIENTS = {
    "elasticfilesystem": "efs",
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}
SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")

#: Operations that leave everything as it is, by how their names begin ...
READS = re.compile(r"(BatchGet|Check|Describe|Filter|Get|Head|List|Lookup|Search|Simulate|Validate)(?![a-z])")
#: ... and those whose names begin otherwise.
OTHER_READS = {
    ("ecr", "BatchCheckLayerAvailability"),
    ("kms", "Decrypt"),
    ("kms", "Encrypt"),
    ("kms", "GenerateDataKey"),
    ("sts", "AssumeRole"),
}

#: Parameters that name something. No others are kept: they may be secrets.
NAMES = re.compile(r"(^Key|^Path|^Resource|Arn|ARN|ARNList|Bucket|Id|Name|Namespace|Prefix|ResourceType)s?$")


@dataclass(frozen=True)
class Call:
    """One signed request."""

    service: str
    operation: str
    region: str
    access_key: str
    user_agent: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return writes(self.service, self.operation)

    def record(self) -> dict[str, Any]:
        """What is kept of it."""
        return {**asdict(self), "parameters": names(self.parameters), "writes": self.writes}


@functools.cache
def writes(service: str, operation: str) -> bool:
    """Whether an operation may change something."""
    return not READS.match(operation) and (service, operation) not in OTHER_READS


def names(parameters: Any) -> Any:
    """The parameters without everything that is no name."""
    kept = {}
    for key, value in parameters.items():
        parts = value if isinstance(value, list) else [value]
        if key.lower() == "tags" and isinstance(value, dict):
            kept[key] = sorted(value)
        elif all(isinstance(part, str) for part in parts):
            if NAMES.search(key):
                kept[key] = value
        elif isinstance(value, dict):
            kept[key] = names(value)
        elif all(isinstance(part, dict) for part in parts):
            kept[key] = [names(part) for part in parts]
    return {key: value for key, value in kept.items() if value not in ({}, [])}


def recognise(environ: dict[str, Any]) -> Call | None:
    """The call that a request makes; None if it isn't signed, as those to moto's own pages."""
    scope = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if not scope:
        return None
    service = CLIENTS.get(scope["service"], scope["service"])
    operation, parameters = _read(service, _copy(environ, service))
    agent = environ.get("HTTP_USER_AGENT", "")
    return Call(service, operation, scope["region"], scope["key"], agent, parameters)


def _copy(environ: dict[str, Any], service: str) -> Request:
    """The request, readable without taking it from the application; without a body where that may be an upload."""
    body = b""
    if service != "s3":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
    return Request({**environ, "wsgi.input": io.BytesIO(body)})


def parameters_of(service: str, request: Request) -> tuple[str, dict[str, Any]]:
    """The operation of a request and its parameters, in botocore's words and shapes."""
    model = get_service_model(service)
    operation, in_path = get_service_router(service).match(request)
    protocol = determine_request_protocol(model, request.content_type)
    if protocol.startswith("rest-"):
        return operation.name, dict(in_path) | request.args.to_dict()
    parsed = PROTOCOL_PARSERS[protocol](operation).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.get_data(),
            "url_path": request.path,
            "url_params": in_path,
        }
    )
    return operation.name, parsed


def _read(service: str, request: Request) -> tuple[str, dict[str, Any]]:
    try:
        return parameters_of(service, request)
    except NotFound:
        # Nothing that botocore could have sent.
        return f"{request.method} {request.path}", {}
