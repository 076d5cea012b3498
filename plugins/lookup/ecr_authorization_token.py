# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Lookup of a short-lived login for an account's ECR registry."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ecr_authorization_token
author: Chroma Fleet developers
short_description: Log in to the ECR registry of an account
version_added: 0.1.0
description:
  - Returns a user name and a password for the private ECR registry of the account, valid for 12 hours.
  - The result is a secret; use it in tasks with C(no_log).
options:
  _terms:
    description: Takes no terms.
extends_documentation_fragment:
  - amazon.aws.boto3
  - amazon.aws.common.plugins
  - amazon.aws.region.plugins
"""

EXAMPLES = r"""
- name: Log Docker in to ECR
  community.docker.docker_login:
    registry_url: "{{ login.registry }}"
    username: "{{ login.username }}"
    password: "{{ login.password }}"
  vars:
    login: "{{ lookup('chromafleet.aws.ecr_authorization_token', region='eu-central-1') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: One login.
  type: list
  elements: dict
  contains:
    username:
      description: The user name, always C(AWS).
      type: str
    password:
      description: The password.
      type: str
    registry:
      description: Host name of the registry.
      type: str
    expires_at:
      description: When the password expires, in ISO 8601.
      type: str
"""

import base64
import binascii
import contextlib
from typing import Any

with contextlib.suppress(ImportError):  # Reported by AWSLookupBase
    import botocore.exceptions

from ansible.errors import AnsibleLookupError
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.plugin_utils.lookup import AWSLookupBase


def decode(authorization: dict[str, Any]) -> dict[str, str]:
    """Turn one item of ECR's authorizationData into a login."""
    try:
        username, password = base64.b64decode(authorization["authorizationToken"]).decode().split(":", 1)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        # The token is a secret: say nothing about it.
        raise AnsibleLookupError("ECR returned an authorization token that is not 'user:password' in base64.") from None
    return {
        "username": username,
        "password": password,
        "registry": authorization["proxyEndpoint"].removeprefix("https://"),
        "expires_at": authorization["expiresAt"].isoformat(),
    }


class LookupModule(AWSLookupBase):
    """The lookup; credentials, region and endpoint are amazon.aws's own options."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, str]]:
        """Return one login."""
        super().run(terms, variables, **kwargs)
        client = self.client("ecr", AWSRetry.jittered_backoff())
        try:
            authorizations = client.get_authorization_token(aws_retry=True)["authorizationData"]
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as e:
            raise AnsibleLookupError(f"Failed to get an ECR authorization token: {e}") from e
        return [decode(authorization) for authorization in authorizations[:1]]
