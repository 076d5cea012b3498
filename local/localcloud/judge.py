"""Whether policies allow what is asked, as IAM decides it within one account."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

from localcloud.permissions import Asked


def allows(documents: Iterable[dict[str, Any]], asked: Asked) -> bool:
    """Whether some statement allows it and none denies it."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in _list(document["Statement"])
        if _applies(statement, asked)
    }
    return effects == {"Allow"}


def _applies(statement: dict[str, Any], asked: Asked) -> bool:
    if "NotAction" in statement:
        action = not _any(statement["NotAction"], asked.action, fold=True)
    else:
        action = _any(statement["Action"], asked.action, fold=True)
    if "NotResource" in statement:
        resource = not _any(statement["NotResource"], asked.resource)
    else:
        resource = _any(statement.get("Resource", "*"), asked.resource)
    conditions = statement.get("Condition", {}).items()
    return action and resource and all(_holds(operator, tests, asked.context) for operator, tests in conditions)


def _holds(operator: str, tests: dict[str, Any], context: dict[str, list[str]]) -> bool:
    """One operator of a condition: every key must pass, with any of its values."""
    quantifier, _, name = operator.rpartition(":")
    if_exists = name.endswith("IfExists")
    compare = OPERATORS[name.removesuffix("IfExists")]
    for key, wanted in tests.items():
        found = context.get(key.lower(), [])
        if not found:
            if not (if_exists or quantifier == "ForAllValues" or "Not" in name):
                return False
            continue
        passed = [compare(value, _list(wanted)) for value in found]
        if not (any(passed) if quantifier == "ForAnyValue" else all(passed)):
            return False
    return True


def _equals(value: str, wanted: list[Any]) -> bool:
    return value.lower() in [str(one).lower() for one in wanted]


def _like(value: str, wanted: list[str]) -> bool:
    return _any(wanted, value)


def _not(compare: Callable[[str, list[Any]], bool]) -> Callable[[str, list[Any]], bool]:
    return lambda value, wanted: not compare(value, wanted)


#: Those that the project's policies use; another one is a KeyError, not a silent pass.
OPERATORS: dict[str, Callable[[str, list[Any]], bool]] = {
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _equals,
    "StringEquals": lambda value, wanted: value in wanted,
    "StringLike": _like,
    "StringNotEquals": _not(lambda value, wanted: value in wanted),
    "StringNotLike": _not(_like),
}


def _any(patterns: str | list[str], value: str, *, fold: bool = False) -> bool:
    return any(_pattern(pattern, fold).fullmatch(value) for pattern in _list(patterns))


@functools.cache
def _pattern(pattern: str, fold: bool) -> re.Pattern[str]:
    """IAM's wildcards, of which there are two."""
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL | (re.IGNORECASE if fold else 0))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
