#!/usr/bin/env python3
"""Marks a volume as the holder of another host would: `mark.py FILE HOST BEAT`."""

import json
import mmap
import os
import sys

page = mmap.mmap(-1, 4096)
page[:] = json.dumps({"host": sys.argv[2], "beats": int(sys.argv[3])}).encode().ljust(4096, b"\0")
file = os.open(sys.argv[1], os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
os.pwrite(file, page, 0)
