# SPDX-License-Identifier: Apache-2.0
"""The filter `closest`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.chromafleet.aws.plugins.module_utils.spelling import closest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOCUMENTATION = r"""
name: closest
short_description: The word of a list that is most like a misspelt one
description:
  - Returns the word of a list that is most like the given one, or an empty string when none is.
author:
  - Chroma Fleet developers (@chromafleet)
positional: words
options:
  _input:
    description: The word as it was written.
    type: str
    required: true
  words:
    description: The words that exist.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Offer the region that was meant
  ansible.builtin.debug:
    msg: "Did you mean {{ 'eu-central1' | chromafleet.aws.closest(['eu-central-1', 'us-east-1']) }}?"
"""

RETURN = r"""
_value:
  description: The closest word, or an empty string.
  type: str
"""


def closest_or_nothing(word: str, words: Iterable[str]) -> str:
    """For Jinja, where an empty string reads better than None."""
    return closest(str(word), words) or ""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters of this file."""
        return {"closest": closest_or_nothing}
