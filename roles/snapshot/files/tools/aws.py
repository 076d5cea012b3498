"""Calls of AWS with the instance's role, that give up after a bounded time."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import botocore.config
import botocore.exceptions
import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settings import Settings

CONFIG = botocore.config.Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 3},
    s3={"addressing_style": "auto"},
)


def client(settings: Settings, service: str) -> Any:
    """A client of a service; credentials are those of the instance."""
    endpoint = settings.endpoint_url or None
    return boto3.client(service, region_name=settings.region, endpoint_url=endpoint, config=CONFIG)


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn what boto3 raises into a Fault."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        told = error.response.get("Error", {})
        raise faults.of_code(told.get("Code", "?"), place, told.get("Message", "")) from None
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.CredentialRetrievalError) as error:
        advice = "see that it has an instance profile and that 169.254.169.254 answers"
        raise faults.Fault("no-credentials", f"The instance has no credentials ({error}); {advice}.") from None
    except (botocore.exceptions.HTTPClientError, botocore.exceptions.EndpointConnectionError) as error:
        raise faults.unreachable(place, str(error)) from None


def password(settings: Settings) -> str:
    """The key of the repository."""
    place = f"The secret {settings.secret}"
    with explained(place):
        text = client(settings, "secretsmanager").get_secret_value(SecretId=settings.secret)["SecretString"]
    try:
        found = json.loads(text)["password"]
    except (ValueError, KeyError, TypeError):
        found = ""
    if not isinstance(found, str) or not found:
        advice = "bring its first version back, without which no snapshot can be read"
        raise faults.Fault("wrong-key", f'{place} holds no {{"password": ...}}; {advice}.')
    return found
