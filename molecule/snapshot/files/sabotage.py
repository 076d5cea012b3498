#!/usr/bin/env python3
"""Stands in for checkpoint.py: makes a copy by it, and hands out a damaged copy of that one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

PLACE = Path("/var/lib/chromadb/sabotaged")


def main():
    damage, *command = sys.argv[1:]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return done.returncode
    made = json.loads(done.stdout)
    shutil.rmtree(PLACE, ignore_errors=True)
    subprocess.run(["cp", "--archive", made["path"], PLACE], check=True)
    index = sorted(PLACE.glob("*/index_metadata.pickle"))[0]
    if damage == "truncated":
        file = index.with_name("data_level0.bin")
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size // 2)
    elif damage == "pickle":
        index.unlink()
    elif damage == "segment":
        shutil.rmtree(index.parent)
    elif damage == "records":
        # Whole by its structure, but not what the live server has.
        import sqlite3

        with sqlite3.connect(PLACE / "chroma.sqlite3") as database:
            database.execute("DELETE FROM embeddings WHERE id IN (SELECT id FROM embeddings ORDER BY id LIMIT 10)")
            database.execute("DELETE FROM embeddings_queue")
    print(json.dumps(made | {"path": str(PLACE)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
