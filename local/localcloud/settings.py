"""Names, addresses and paths of the local cloud, in one place."""

from __future__ import annotations

import os
from pathlib import Path

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"
API_HOST = "127.0.0.1"
API_PORT = int(os.environ.get("CHROMAFLEET_LOCAL_API_PORT", "5500"))
API_URL = f"http://{API_HOST}:{API_PORT}"

#: Link-local addresses in every VPC: AWS's of the metadata service, and one for the API, which is on this machine's
#: loopback else. host/link-local.service has them too.
METADATA = ("169.254.169.254", 80)
HOSTS_API = ("169.254.169.200", API_PORT)

#: The ECR host name that the API hands out, and where the same registry listens for a push from this machine.
ECR_HOST = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com"
REGISTRY_PORT = int(os.environ.get("CHROMAFLEET_LOCAL_REGISTRY_PORT", "5443"))

#: Every container, network and volume carries this label; `local-down` removes what carries it.
LABEL = "org.chromafleet.local"
PREFIX = "chromafleet-local"
CHROMA_VERSION = "1.5.9"


def state_dir() -> Path:
    """Where the daemon keeps its log, its sockets and its certificate authority (mode 0700)."""
    path = Path(os.environ.get("CHROMAFLEET_LOCAL_STATE", "~/.local/state/chromafleet-local")).expanduser()
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


#: How the local cloud's own clients name themselves: they follow the API all the time, and nobody asks about them.
OWN_AGENT = "chromafleet-local"
