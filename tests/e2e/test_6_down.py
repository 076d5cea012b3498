"""`make local-down` leaves nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support import Done, docker, run


def test_everything_that_was_made_is_gone(demo: Done, clone: Path) -> None:
    volumes = [line.split()[-1] for line in docker("volume", "ls").splitlines()[1:]]
    assert any("chromafleet-local-vol-" in name for name in volumes)
    assert run("make", "local-down", cwd=clone).code == 0

    for listing in (("ps", "--all"), ("network", "ls"), ("volume", "ls"), ("image", "ls")):
        assert "chromafleet-local" not in docker(*listing), listing
        assert not docker(*listing, "--quiet", "--filter", "label=org.chromafleet.local")
    assert "deleted" not in subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout
    assert "/ebs/vol-" not in subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout
    assert not (Path.home() / ".local/state/chromafleet-local").exists()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"localcloud.daemon" in path.read_bytes()]
    status = run("make", "local-status", cwd=clone)
    assert "The local cloud is down" in status.output
