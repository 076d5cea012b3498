#!/usr/bin/env python3
"""Gives the free pages of Chroma's SQLite back to the volume, beside the running server.

Chroma purges its queue by itself and uses the free pages again, so that this helps only after much was deleted. While
it runs, every request waits: it does nothing unless the given share of the file is free.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--share", type=int, required=True, help="percent of the file that must be free")
    arguments = parser.parse_args()
    file = arguments.data / "chroma.sqlite3"
    with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=60, isolation_level=None)) as connection:
        pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        size = file.stat().st_size
        if free * 100 < pages * arguments.share:
            print(f"{free * 100 // pages} % of {size} bytes are free, less than {arguments.share} %: nothing to do.")
            return 0
        # A copy of what is in use, and a journal of the whole.
        if shutil.disk_usage(arguments.data).free < 2 * size:
            print(f"{arguments.data} has less than {2 * size} bytes of free space, which this needs.", file=sys.stderr)
            return 1
        began = time.monotonic()
        connection.execute("VACUUM")
    print(f"{size - file.stat().st_size} bytes were given back in {time.monotonic() - began:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
