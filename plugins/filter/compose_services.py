# SPDX-License-Identifier: Apache-2.0
"""The filter `compose_services`."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: compose_services
short_description: The services of a compose file, confined, from what a user may say of them
description:
  - Each container runs without capabilities, on a read-only root, under a user of its own, and with limits.
  - Its label C(chromafleet.revision) tells what it was made from, the values of its secrets included. It gives nothing
    away, since who can read a label can read the files of the secrets as well.
author:
  - Chroma Fleet developers (@chromafleet)
positional: secrets, directory
options:
  _input:
    description: The services, in the words of the role P(chromafleet.aws.extra_services#role).
    type: list
    elements: dict
    required: true
  secrets:
    description: Values of secrets by name.
    type: dict
    required: true
  directory:
    description: Directory on the host with a directory for each service, which has a file for each of its secrets.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the compose file
  ansible.builtin.debug:
    msg: "{{ {'services': extra_services_list | chromafleet.aws.compose_services({}, '/etc/extra-services/secrets')} }}"
"""

RETURN = r"""
_value:
  description: The services by name.
  type: dict
"""

TMPFS = ["/tmp"]  # noqa: S108 - of the container
HEALTHCHECK = {"interval": "10s", "timeout": "5s", "retries": 3, "start_period": "30s"}


def compose_service(service: dict[str, Any], secrets: dict[str, str], directory: str) -> dict[str, Any]:
    """One container."""
    name, user = service["name"], service.get("user", 10002)
    definition: dict[str, Any] = {
        "image": service["image"],
        "container_name": f"extra-services-{name}",
        "user": f"{user}:{user}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": list(service.get("tmpfs", TMPFS)),
        "mem_limit": f"{service['memory']}m",
        "memswap_limit": f"{service['memory']}m",
        "pids_limit": 512,
        # When the host itself runs out of memory, these go before ChromaDB.
        "oom_score_adj": 500,
        "environment": dict(service.get("environment", {})),
        "restart": "unless-stopped",
        "stop_grace_period": f"{service.get('stop_grace_period', 30)}s",
        "ports": [f"127.0.0.1:{port['host']}:{port['container']}" for port in service.get("ports", [])],
        "volumes": [
            {
                "type": "bind",
                "source": f"{directory}/{name}/{secret}",
                "target": f"/run/secrets/{secret}",
                "read_only": True,
            }
            for secret in service.get("secrets", [])
        ],
    }
    if service.get("command"):
        definition["command"] = list(service["command"])
    if service.get("healthcheck"):
        definition["healthcheck"] = {"test": ["CMD", *service["healthcheck"]], **HEALTHCHECK}
    made_from = [definition, {secret: secrets[secret] for secret in service.get("secrets", [])}]
    revision = hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()
    return {**definition, "labels": {"chromafleet.revision": revision}}


def compose_services(services: list[dict[str, Any]], secrets: dict[str, str], directory: str) -> dict[str, Any]:
    """All containers by name."""
    return {service["name"]: compose_service(service, secrets, directory) for service in services}


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """The filters of this file."""
        return {"compose_services": compose_services}
