"""ECR: a Docker registry with TLS and the password of the API's authorization token."""

from __future__ import annotations

import base64

import bcrypt

from localcloud import network, pki
from localcloud.aws import client
from localcloud.docker import docker, inspect, label_args
from localcloud.images import services
from localcloud.settings import API_HOST, REGISTRY_PORT, state_dir

CONFIG = """\
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}
http: {addr: ":443", tls: {certificate: /registry/registry.pem, key: /registry/registry.key}}
auth: {htpasswd: {realm: ecr, path: /registry/htpasswd}}
"""


def start() -> None:
    """Run the registry; it is reached as localhost from here and under ECR's name from a VPC."""
    if inspect("container", network.REGISTRY):
        # It is there, but does not run after the machine or dockerd was started again.
        docker("start", network.REGISTRY)
        return
    folder = state_dir() / "registry"
    folder.mkdir(exist_ok=True, mode=0o700)
    certificate, key = pki.certificate("registry", [])
    token = client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).partition(b":")
    hashed = bcrypt.hashpw(password, bcrypt.gensalt(rounds=4))
    for name, content in {
        "config.yml": CONFIG.encode(),
        "htpasswd": user + b":" + hashed + b"\n",
        "registry.pem": certificate.read_bytes() + pki.ca_file().read_bytes(),
        "registry.key": key.read_bytes(),
    }.items():
        (folder / name).write_bytes(content)
    docker("run", "--detach", "--name", network.REGISTRY, "--pull", "never", *label_args(),
           "--publish", f"{API_HOST}:{REGISTRY_PORT}:443", "--volume", f"{folder}:/registry:ro", "--volume",
           "/var/lib/registry", services(print), "docker-registry", "serve", "/registry/config.yml")  # fmt: skip
