# SPDX-License-Identifier: Apache-2.0
"""What the fleet's secrets hold, and how a value is replaced while the old one still works.

The secret of the API tokens is `{"tokens": [entry, ...]}`, the cache's is one entry. An entry goes through four phases:

- `steady`: one value.
- `spreading`: `next` is made; not everybody who checks it knows it yet.
- `overlap`: the new value has taken the old one's place, which stands in `previous` and works `until` then.
- `withdrawing`: `previous` is `ending`; not everybody who checks it has forgotten it yet.

Each phase is written down before anything acts on it, so that a run that was interrupted goes on where it stood.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import secrets
import string
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

Document = dict[str, Any]
Entry = dict[str, Any]

STEADY, SPREADING, OVERLAP, WITHDRAWING = "steady", "spreading", "overlap", "withdrawing"
SAYS = {
    STEADY: "one value works",
    SPREADING: "the new value is being made known; only the old one works everywhere",
    OVERLAP: "the new and the old value work, the old one until a run after {until} ends it",
    WITHDRAWING: "the old value is being withdrawn; only the new one works everywhere",
}
CACHE = "cache"
TIME = "%Y-%m-%dT%H:%M:%SZ"
STRONG = re.compile(r"[A-Za-z0-9._~+/=-]{20,}")


def make_value() -> str:
    """A new value: 285 random bits in characters that ElastiCache, every shell and every header take as they are."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(48))


def make_token() -> str:
    """A new API token. The prefix lets scanners find one that was published by mistake."""
    return f"cf_{make_value()}"


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def time_text(moment: datetime) -> str:
    """A moment as the secrets hold it."""
    return moment.strftime(TIME)


def time_of(text: str) -> datetime:
    """The moment that a secret holds."""
    return datetime.strptime(text, TIME).replace(tzinfo=UTC)


def entries(document: Document) -> list[Entry]:
    """The entries of a secret."""
    return document.get("tokens", [document])


def key_of(entry: Entry) -> str:
    """The key of an entry's value."""
    return "token" if "token" in entry else "auth_token"


def name_of(entry: Entry) -> str:
    """An entry's name."""
    return str(entry.get("name", CACHE))


def with_tokens(
    document: Document, wanted: Iterable[dict[str, Any]], *, purge: bool, make: Callable[[], str] = make_token
) -> Document:
    """The document with every wanted token; one that is there keeps its value, whatever else of it changes."""
    named = {one["name"]: one for one in wanted}
    found = {entry["name"]: entry for entry in document.get("tokens", [])}
    tokens = []
    for name in [*found, *(name for name in named if name not in found)]:
        entry = found.get(name) or {"name": name, "token": make()}
        if name in named:
            tokens.append({**entry, "scope": named[name]["scope"], "tenants": named[name].get("tenants", ["*"])})
        elif not purge:
            tokens.append(entry)
    return {**document, "tokens": tokens}


def phase_of(entry: Entry) -> str:
    """Where an entry stands in its rotation."""
    if "next" in entry:
        return SPREADING
    if "previous" in entry:
        return WITHDRAWING if "ending" in entry["previous"] else OVERLAP
    return STEADY


def phases(document: Document) -> list[dict[str, str]]:
    """Where each entry stands, without any value; `since` is when a step that is not complete began."""
    told = []
    for entry in entries(document):
        phase, previous = phase_of(entry), entry.get("previous", {})
        told.append(
            {
                "name": name_of(entry),
                "phase": phase,
                "says": SAYS[phase].format(**previous),
                "until": previous.get("until", ""),
                "since": entry.get("next", {}).get("since") or previous.get("ending", ""),
            }
        )
    return told


def start(
    document: Document, *, names: Collection[str], finish: bool, at: datetime, make: Callable[[], str] | None = None
) -> Document:
    """Begin the next step of the named entries, of all without names.

    A steady entry gets its next value, unless the rotation shall only be finished. An overlap ends when its time is
    over, or at once to finish. A step that is under way stays what it is.
    """
    document = copy.deepcopy(document)
    for entry in entries(document):
        if names and name_of(entry) not in names:
            continue
        key, phase = key_of(entry), phase_of(entry)
        if phase == STEADY and not finish:
            made = make() if make else make_token() if key == "token" else make_value()
            entry["next"] = {key: made, "since": time_text(at)}
        elif phase == OVERLAP and (finish or at >= time_of(entry["previous"]["until"])):
            entry["previous"]["ending"] = time_text(at)
    return document


def complete(document: Document, *, overlap: timedelta, at: datetime) -> Document:
    """End the steps that are under way: everybody who checks the values knows what `start` wrote down."""
    document = copy.deepcopy(document)
    for entry in entries(document):
        key, phase = key_of(entry), phase_of(entry)
        if phase == SPREADING:
            entry["previous"] = {key: entry[key], "until": time_text(at + overlap)}
            entry[key] = entry.pop("next")[key]
        elif phase == WITHDRAWING:
            del entry["previous"]
    return document


def accepted(entry: Entry) -> list[str]:
    """The values of an entry that shall work now."""
    key = key_of(entry)
    values = [entry[key]]
    if "next" in entry:
        values.append(entry["next"][key])
    if phase_of(entry) == OVERLAP:
        values.append(entry["previous"][key])
    return values


def token_hashes(document: Document) -> list[dict[str, Any]]:
    """What a host needs to know of the API tokens. Raises ValueError for a token that could be guessed."""
    weak = [
        name_of(entry) for entry in entries(document) if not all(STRONG.fullmatch(value) for value in accepted(entry))
    ]
    if weak:
        raise ValueError(
            f"{', '.join(weak)} has a token of less than 20 characters, or with characters other than letters, digits "
            "and -._~+/=; write a new one into the secret, for instance from `openssl rand -hex 32`."
        )
    return [
        {
            "name": entry["name"],
            "scope": entry["scope"],
            "tenants": entry.get("tenants", ["*"]),
            # Sorted, so that a host's file stays the same when the new value takes the old one's place.
            "sha256": sorted(hashlib.sha256(value.encode()).hexdigest() for value in accepted(entry)),
        }
        for entry in entries(document)
    ]


def cache_passwords(document: Document) -> list[str]:
    """What a host may need to know of the cache's password; sorted as the hashes of the tokens are."""
    return sorted(accepted(document))


def changed_text(text: str, change: Callable[[Document], Document]) -> str:
    """A secret's text after a change; the very same text where nothing changes."""
    before = json.loads(text) if text else {}
    after = change(before)
    return text if text and after == before else json.dumps(after)
