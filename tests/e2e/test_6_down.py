"""`make local-down` leaves nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from localcloud.volumes import beside
from support import Done, docker, run


def test_everything_that_was_made_is_gone(demo: Done, clone: Path) -> None:
    volumes = [line.split()[-1] for line in docker("volume", "ls").splitlines()[1:]]
    attached = next(name for name in volumes if "chromafleet-local-vol-" in name)
    # As if the attachment had been interrupted: a second device, which no instance has.
    beside(attached.removeprefix("chromafleet-local-"), "losetup --find $file")
    assert run("make", "local-down", cwd=clone).code == 0

    for listing in (("ps", "--all"), ("network", "ls"), ("volume", "ls"), ("image", "ls")):
        assert "chromafleet-local" not in docker(*listing), listing
        assert not docker(*listing, "--quiet", "--filter", "label=org.chromafleet.local")
    devices = subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout
    assert "vol-" not in devices
    assert not (Path.home() / ".local/state/chromafleet-local").exists()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"localcloud.daemon" in path.read_bytes()]
    status = run("make", "local-status", cwd=clone)
    assert "The local cloud is down" in status.output
