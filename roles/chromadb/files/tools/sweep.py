#!/usr/bin/env python3
"""Removes the segment directories that a deleted collection leaves behind, and tells how much SQLite could give back.

A directory goes when SQLite names no segment for it and nothing in it was touched for the given time. The directories
are listed before the segments are read, and Chroma names a segment before it makes the directory: one that is made
meanwhile is never taken. Only the files of an index are removed; a directory that holds anything else stays.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import check
import database
import metrics

FILES = {"header.bin", "data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle"}


def touched(folder: Path) -> float:
    """When the directory or a file in it was last changed."""
    return max(path.stat().st_mtime for path in [folder, *folder.iterdir()])


def orphans(data: Path, age: float) -> list[Path]:
    """The directories that nobody needs."""
    folders = [path for path in check.segment_directories(data) if not path.is_symlink()]
    named = {name for (name,) in database.read(data, "SELECT id FROM segments")}
    until = time.time() - age
    return [
        folder
        for folder in folders
        if folder.name not in named and {file.name for file in folder.iterdir()} <= FILES and touched(folder) < until
    ]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--age", type=float, required=True, help="seconds for which nothing in a directory was touched")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
    parser.add_argument("--tags", default="", help="tags of the metrics")
    arguments = parser.parse_args()
    swept = 0
    for folder in orphans(arguments.data, arguments.age):
        # In blocks, since a torn file may seem larger than it is.
        size = sum(file.stat().st_blocks * 512 for file in folder.iterdir())
        swept += size
        print(f"{'Would remove' if arguments.dry_run else 'Removed'} {folder} ({size} bytes): no collection has it.")
        if not arguments.dry_run:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    ((queued,),) = database.read(arguments.data, "SELECT count(*) FROM embeddings_queue")
    (free, page) = (database.read(arguments.data, f"PRAGMA {name}")[0][0] for name in ("freelist_count", "page_size"))
    metrics.send({"SweptBytes": swept, "WalRows": queued, "SqliteFreeBytes": free * page}, arguments.tags)
    print(f"{queued} records are in the queue; {free * page} bytes of SQLite are free.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
