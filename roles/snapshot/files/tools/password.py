#!/usr/bin/env python3
"""Prints the key of the repository to a restic that a person runs, which asks for it by RESTIC_PASSWORD_COMMAND."""

from __future__ import annotations

import sys
from pathlib import Path

import aws
import settings
from faults import Fault


def main() -> int:
    """The command."""
    if sys.stdout.isatty():
        print("The key is for restic only, and not for a terminal.", file=sys.stderr)
        return 1
    try:
        print(aws.password(settings.load(Path(sys.argv[1]))))
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
