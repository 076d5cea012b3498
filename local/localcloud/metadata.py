"""The instance metadata service, version 2 only: who asks is known by the address that the connection comes from."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from werkzeug.exceptions import abort
from werkzeug.wrappers import Request, Response

from localcloud.facts import Clients, facts, instance_at, role_of

TOKEN = "X-aws-ec2-metadata-token"
TOKEN_SECONDS = "X-aws-ec2-metadata-token-ttl-seconds"
LONGEST = 21600
#: The version of the service that cloud-init asks for; what it has here is the same in the latest.
VERSION = "2021-03-23"
TIME = "%Y-%m-%dT%H:%M:%SZ"

#: Seconds of a role's credentials, and how many of them are left when the next ones come: the SDKs ask again 15 minutes
#: before the end.
CREDENTIALS_SECONDS = 3600
RENEWED_BEFORE = 1800


class Metadata:
    """The service as a WSGI application; `now` is the time in seconds, by which tokens and credentials end."""

    def __init__(self, clients: Clients, now: Callable[[], float] = time.time) -> None:
        self._clients, self._now = clients, now
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, float]] = {}
        self._credentials: dict[tuple[str, str], dict[str, Any]] = {}

    @Request.application
    def __call__(self, request: Request) -> Response:
        """Answer one request, as AWS does: the token first, then whether there is such a path."""
        instance = instance_at(request.remote_addr or "", self._clients) or abort(404)
        if request.path == "/latest/api/token":
            return self._issue(request, instance["InstanceId"], instance["MetadataOptions"]["HttpPutResponseHopLimit"])
        if request.method not in ("GET", "HEAD"):
            abort(405)
        owner, ends = self._tokens.get(request.headers.get(TOKEN, ""), ("", 0.0))
        if owner != instance["InstanceId"] or ends <= self._now():
            abort(401)
        path = request.path.strip("/")
        if path.startswith(VERSION):
            path = "latest" + path.removeprefix(VERSION)
        return Response(self._told(path, instance), mimetype="text/plain")

    def _issue(self, request: Request, instance_id: str, hop_limit: int) -> Response:
        if request.method != "PUT":
            abort(405)
        if "X-Forwarded-For" in request.headers:
            abort(403)
        seconds = request.headers.get(TOKEN_SECONDS, type=int)
        if seconds is None or not 1 <= seconds <= LONGEST:
            abort(400)
        # Each router on the way takes one: what is further away than the limit never gets the answer.
        request.environ["werkzeug.socket"].setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop_limit)
        token = secrets.token_urlsafe(40)
        with self._lock:
            self._tokens = {key: value for key, value in self._tokens.items() if value[1] > self._now()}
            self._tokens[token] = (instance_id, self._now() + seconds)
        return Response(token, headers={TOKEN_SECONDS: str(seconds)}, mimetype="text/plain")

    def _told(self, path: str, instance: dict[str, Any]) -> str | bytes:
        """The text at a path, or the names below it; 404 where there is neither."""
        tree: dict[str, Callable[[], str | bytes]] = {
            name: lambda text=text: text for name, text in facts(instance, self._clients).items()
        }
        if role := role_of(instance, self._clients):
            iam = "latest/meta-data/iam"
            tree[f"{iam}/info"] = lambda: self._info(instance, role)
            tree[f"{iam}/security-credentials/{role['RoleName']}"] = lambda: self._keys(instance, role)
        if path in tree:
            return tree[path]()
        below = [name.removeprefix(f"{path}/").partition("/") for name in tree if name.startswith(f"{path}/")]
        return "\n".join(sorted({name + slash for name, slash, _ in below})) or abort(404)

    def _info(self, instance: dict[str, Any], role: dict[str, Any]) -> str:
        profile = instance["IamInstanceProfile"]
        told = {"InstanceProfileArn": profile["Arn"], "InstanceProfileId": profile["Id"]}
        return json.dumps({"Code": "Success", "LastUpdated": self._current(instance, role)["LastUpdated"], **told})

    def _keys(self, instance: dict[str, Any], role: dict[str, Any]) -> str:
        known = self._current(instance, role)
        told = {"AccessKeyId": known["AccessKeyId"], "SecretAccessKey": known["SecretAccessKey"]}
        told |= {"Token": known["SessionToken"], "Expiration": f"{known['Expiration']:{TIME}}"}
        return json.dumps({"Code": "Success", "LastUpdated": known["LastUpdated"], "Type": "AWS-HMAC", **told})

    def _current(self, instance: dict[str, Any], role: dict[str, Any]) -> dict[str, Any]:
        """The credentials that an instance has of its role just now."""
        key = instance["InstanceId"], role["Arn"]
        with self._lock:
            known = self._credentials.get(key)
            if known is None or known["Expiration"].timestamp() - self._now() < RENEWED_BEFORE:
                made = self._clients("sts").assume_role(
                    RoleArn=role["Arn"], RoleSessionName=instance["InstanceId"], DurationSeconds=CREDENTIALS_SECONDS
                )
                known = made["Credentials"] | {"LastUpdated": time.strftime(TIME, time.gmtime(self._now()))}
                self._credentials[key] = known
        return known
