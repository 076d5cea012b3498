"""The Docker command line, with errors a person can act on.

The client and not the SDK: `--security-opt systempaths=unconfined`, which nested Docker needs, exists only there.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from localcloud.settings import LABEL


class DockerError(RuntimeError):
    """A docker command failed."""


def docker(*args: str, stdin: str | None = None, check: bool = True, timeout: float = 600) -> str:
    """Run `docker ARGS` and return its standard output."""
    try:
        done = subprocess.run(
            ["docker", *args], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise DockerError(
            "The command `docker` is not installed: install Docker, then run `make local-up` again."
        ) from None
    if check and done.returncode:
        raise DockerError(f"`docker {' '.join(args[:3])} …` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def require_daemon() -> None:
    """Stop with one sentence when no Docker daemon answers."""
    try:
        docker("version", "--format", "{{.Server.Version}}", timeout=20)
    except (DockerError, subprocess.TimeoutExpired) as error:
        raise DockerError(
            f"Docker does not answer ({str(error).splitlines()[0]}): start it (`systemctl start docker`) "
            "and see that `docker info` works for this user, then run the same command again; nothing was changed."
        ) from None


def inspect(kind: str, name: str) -> dict[str, Any] | None:
    """`docker KIND inspect NAME`, or None when there is no such object."""
    out = docker(kind, "inspect", name, check=False)
    found = json.loads(out or "[]")
    return found[0] if found else None


def labelled(kind: str, **labels: str) -> list[str]:
    """Names of the containers, networks or volumes of the local cloud that carry these labels besides."""
    filters = ["--filter", f"label={LABEL}"]
    for key, value in labels.items():
        filters += ["--filter", f"label={LABEL}.{key}" + (f"={value}" if value else "")]
    listing = ("ps", "--all") if kind == "container" else (kind, "ls")
    field = "{{.Names}}" if kind == "container" else "{{.Name}}"
    return docker(*listing, *filters, "--format", field).split()


def label_args(**labels: str) -> list[str]:
    """`--label` options that mark an object as the local cloud's."""
    args = ["--label", f"{LABEL}=1"]
    for key, value in labels.items():
        args += ["--label", f"{LABEL}.{key}={value}"]
    return args
