# SPDX-License-Identifier: Apache-2.0
"""How a module ends when AWS refuses a call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # AnsibleAWSModule says so itself
    BotoCoreError = ClientError = Exception

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


@contextmanager
def aws_errors(module: AnsibleAWSModule, message: str) -> Iterator[None]:
    """End the module with this message, and what AWS says, when AWS refuses a call or can't be reached."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=message)
