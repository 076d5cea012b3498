# SPDX-License-Identifier: Apache-2.0
"""Help with misspelt names."""

from __future__ import annotations

from difflib import get_close_matches
from os.path import commonprefix
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def closest(word: str, words: Iterable[str], prefix: str = "") -> str | None:
    """The word most like this one, or None; a prefix that all share doesn't count as likeness."""
    rest = {known.removeprefix(prefix): known for known in words}
    # Of equally close names the one that begins the same is the likelier: us-esat-1 is us-east-1, not us-west-1.
    wanted = word.removeprefix(prefix)
    near = get_close_matches(wanted, rest, n=3, cutoff=0.6)
    return rest[max(near, key=lambda name: (len(commonprefix([name, wanted])), -near.index(name)))] if near else None
