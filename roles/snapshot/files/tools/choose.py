"""Which snapshot a restore takes: the newest, one by its id, or the newest that is not younger than a time."""

from __future__ import annotations

from datetime import UTC, datetime

from faults import Fault

NEAREST = 3
FORM = "%Y%m%dT%H%M%SZ"


def time_of(text: str) -> datetime:
    """A time that a person gave; without a zone it is UTC."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Fault(
            "input", f'"{text}" is no time: expected ISO 8601 in UTC, such as 2026-11-28T15:00:00Z or 2026-11-28T15:00.'
        ) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def nearest(ids: list[str], wanted: str) -> str:
    """The ids around a place in their order."""
    at = sum(one < wanted for one in ids)
    return ", ".join(ids[max(0, at - NEAREST) : at + NEAREST])


def choose(ids: list[str], place: str, *, snapshot: str = "", before: str = "") -> str:
    """The id of the snapshot that is meant; a Fault that names others where there is none."""
    ids = sorted(ids)
    if snapshot and before:
        raise Fault("input", f'Both a snapshot ("{snapshot}") and a time ("{before}") are given: give one of them.')
    until = time_of(before).strftime(FORM) if before else ""
    if not ids:
        raise Fault("no-snapshot", f"{place} has no published snapshot; `chromafleet-snapshot now` makes one.")
    if snapshot:
        if snapshot in ids:
            return snapshot
        raise Fault("no-snapshot", f'{place} has no snapshot "{snapshot}"; the nearest are {nearest(ids, snapshot)}.')
    if not until:
        return ids[-1]
    # An id is the time at which the data stood still.
    if found := [one for one in ids if one <= until]:
        return found[-1]
    raise Fault(
        "no-snapshot", f"{place} has no snapshot of {until} or before; the oldest are {', '.join(ids[:NEAREST])}."
    )


def is_newer(version: str, than: str) -> bool:
    """Whether a version of ChromaDB comes after another; 1.10.0 comes after 1.9.0."""

    def parts(text: str) -> list[int]:
        return [int(part) for part in text.split("-")[0].split(".") if part.isdigit()]

    return parts(version) > parts(than)
