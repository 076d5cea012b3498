"""boto3 clients of the local API."""

from __future__ import annotations

import secrets
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from localcloud.settings import API_URL, OWN_AGENT, REGION

#: The access key of this process: in that of the API it stands for AWS itself, of whom IAM asks nothing.
OWN_KEY = secrets.token_hex(16)


@cache
def client(service: str) -> Any:
    """A client for one service; botocore's clients may be shared between threads."""
    return boto3.client(
        service,
        endpoint_url=API_URL,
        region_name=REGION,
        aws_access_key_id=OWN_KEY,
        aws_secret_access_key=OWN_KEY,
        config=Config(
            retries={"max_attempts": 1},
            connect_timeout=5,
            read_timeout=20,
            max_pool_connections=20,
            user_agent_extra=OWN_AGENT,
        ),
    )


def every(service: str, call: str, key: str, **arguments: Any) -> list[Any]:
    """All pages of a Describe call."""
    pages = client(service).get_paginator(call).paginate(**arguments)
    return [item for page in pages for item in page[key]]
