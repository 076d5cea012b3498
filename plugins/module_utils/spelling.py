# SPDX-License-Identifier: Apache-2.0
"""Help with misspelt names."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def same_start(one: str, other: str) -> int:
    """How many characters two words share at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def closest(word: str, words: Iterable[str], prefix: str = "") -> str | None:
    """The word most like this one, or None; a prefix that all share doesn't count as likeness."""
    wanted = word.removeprefix(prefix)
    known = {name.removeprefix(prefix): name for name in words}
    near = get_close_matches(wanted, known, n=3, cutoff=0.65)
    # Of similar names the one that begins the same is the likelier: us-esat-1 is us-east-1, not us-west-1.
    return known[max(near, key=lambda name: same_start(name, wanted))] if near else None
