"""`python -m localcloud up | down | status | images`: the AWS account of this machine."""

from __future__ import annotations

import argparse
import sys
import time

from localcloud import cloud, images
from localcloud.docker import DockerError, require_daemon

_started = time.monotonic()


def say(text: str) -> None:
    """One line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - _started:5.1f} s] {text}", flush=True)


def main() -> int:
    """Run one verb."""
    parser = argparse.ArgumentParser(prog="localcloud", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start the API, the registry, and whatever the API says exists")
    verbs.add_parser("status", help="show what runs")
    down = verbs.add_parser("down", help="remove everything that was made here")
    down.add_argument("--keep-images", action="store_true", help="leave the container images for a quicker next start")
    build = verbs.add_parser("images", help="build images only")
    build.add_argument("name", nargs="+", choices=["node", "node-bookworm", "services", "chroma"])
    options = parser.parse_args()
    try:
        require_daemon()
        match options.verb:
            case "up":
                cloud.up(say)
            case "status":
                return cloud.status()
            case "down":
                cloud.down(say, keep_images=options.keep_images)
            case "images":
                images.build(options.name, say)
    except (DockerError, cloud.CloudError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
