# SPDX-License-Identifier: Apache-2.0
"""Floats in metadata as a Chroma server keeps them.

The server (1.5.9) reads a decimal from JSON, in a request and once more in its write-ahead log, as an integer that it
rounds to a float and multiplies with a power of ten or divides by one. So 90.33333333333333 becomes 90.33333333333331,
and no client can store it. A value of at most 15 digits stays, and each value comes to rest after some readings.
"""

from __future__ import annotations

from typing import Any

# Values of ordinary size need one or two.
READINGS = 100


def settled(value: Any) -> Any:
    """A value of metadata with each float, at any depth, where the server's readings bring it to rest."""
    if isinstance(value, float):
        return _rest(value)
    if isinstance(value, dict):
        return {key: settled(one) for key, one in value.items()}
    if isinstance(value, list):
        return [settled(one) for one in value]
    return value


def _rest(value: float) -> float:
    for _ in range(READINGS):
        again = _read(repr(value))
        if again == value:
            break
        value = again
    return value


def _read(decimal: str) -> float:
    """What the server reads from a decimal; its table of powers of ten ends at 308."""
    digits, _, exponent = decimal.partition("e")
    whole, _, fraction = digits.partition(".")
    value, power = float(int(whole + fraction)), int(exponent or 0) - len(fraction)
    while power < -308:
        value, power = value / 1e308, power + 308
    return value * float(f"1e{power}") if power >= 0 else value / float(f"1e{-power}")
