# SPDX-License-Identifier: Apache-2.0
"""The filter `aws_fault`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_faults import explain

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: aws_fault
short_description: An AWS error as one sentence with the fix
description:
  - Tells expired credentials, unknown keys, missing credentials, missing permissions, endpoints that don't answer,
    throttling and quotas apart by an error's text, and returns one sentence that says what to do.
  - A text that is no error of AWS's is returned as it is, in one line.
author:
  - Chroma Fleet developers (@chromafleet)
positional: connection, started
options:
  _input:
    description: The C(msg) of a failed AWS module.
    type: str
    required: true
  connection:
    description: The options of the call; C(profile) is named in the sentence.
    type: dict
    default: {}
  started:
    description: Whether the run may have changed something before; the sentence then doesn't say that nothing was.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Ask AWS who we are
  block:
    - name: Get the caller's identity
      amazon.aws.aws_caller_info:
  rescue:
    - name: Say what is wrong with the credentials
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.msg | chromafleet.aws.aws_fault(fleet_aws_connection) }}"
"""

RETURN = r"""
_value:
  description: The sentence.
  type: str
"""

# How botocore's ClientError begins.
AWS_ERROR = "An error occurred ("


def aws_fault(text: str, connection: dict[str, Any] | None = None, started: bool = False) -> str:
    """The sentence for an error's text."""
    line = " ".join(str(text).split())
    refused = f"AWS refused the call: {line}." if AWS_ERROR in line else line
    return explain(str(text), connection, started=started) or refused


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters of this file."""
        return {"aws_fault": aws_fault}
