#!/usr/bin/python3
"""Remove the images that no container uses, but of each repository keep those that were pulled last.

`docker image prune` knows an age only: the image to go back to may be old, and one that was just pulled is used by no
container yet. Usage: docker-prune-images KEPT
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from datetime import datetime
from typing import Any

Image = dict[str, Any]


def docker(*args: str) -> str:
    """What docker answers."""
    return subprocess.run(["docker", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


def inspect(kind: str, *names: str) -> list[dict[str, Any]]:
    """Everything about these containers or images."""
    return json.loads(docker(kind, "inspect", *names)) if names else []


def references(image: Image) -> list[str]:
    """The names of an image, digests first: with the last tag of a repository Docker drops the digest by itself."""
    return (image["RepoDigests"] or []) + (image["RepoTags"] or [])


def repository(reference: str) -> str:
    """A reference without its digest or tag; a registry may have a port."""
    name = reference.split("@")[0]
    return name if ":" not in name.rsplit("/", 1)[-1] else name.rsplit(":", 1)[0]


def pulled(image: Image) -> tuple[datetime, datetime]:
    """When the image came to this host. An image that never had a tag has only the time when it was built."""
    return datetime.fromisoformat(image["Metadata"]["LastTagTime"]), datetime.fromisoformat(image["Created"])


def unneeded(images: list[Image], used: set[str], kept: int) -> list[Image]:
    """The images that go."""
    unused = [image for image in images if image["Id"] not in used]
    of_repository: dict[str, list[Image]] = defaultdict(list)
    for image in sorted(unused, key=pulled, reverse=True):
        for name in {repository(reference) for reference in references(image)} or {""}:
            of_repository[name].append(image)
    stay = {image["Id"] for found in of_repository.values() for image in found[:kept]}
    return [image for image in unused if image["Id"] not in stay]


def main() -> int:
    """Remove one image after the other. Docker itself refuses to remove one that a container has come to use."""
    images = inspect("image", *dict.fromkeys(docker("image", "ls", "--quiet", "--no-trunc").split()))
    containers = inspect("container", *docker("container", "ls", "--all", "--quiet", "--no-trunc").split())
    failed = False
    for image in unneeded(images, {container["Image"] for container in containers}, int(sys.argv[1])):
        names = references(image) or [image["Id"]]
        print(f"removing {', '.join(names)}", flush=True)
        failed |= (
            subprocess.run(["docker", "image", "rm", *names], check=False, stdout=subprocess.DEVNULL).returncode != 0
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
