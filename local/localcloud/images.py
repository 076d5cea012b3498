"""Container images: pulled where a public registry answers, else built from Debian packages and the chromadb wheel."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localcloud.docker import DockerError, docker, inspect
from localcloud.settings import CHROMA_VERSION, LABEL, PREFIX

RECIPES = Path(__file__).parent.parent / "images"
MIRROR = "http://deb.debian.org/debian"
LEAN = ("doc", "man", "locale", "info")

Say = Callable[[str], None]


def base(suite: str, say: Say) -> str:
    """Debian's minimal image of a suite."""
    image = f"{PREFIX}/debian:{suite}"
    if inspect("image", image):
        return image
    upstream = f"debian:{suite}-slim"
    if _pull(upstream, image):
        say(f"{image}: pulled {upstream}")
        return image
    if os.geteuid() or not shutil.which("mmdebstrap"):
        raise DockerError(
            f"Docker Hub does not answer for {upstream}, and building it needs root and the Debian package mmdebstrap: "
            "give Docker access to a registry, or run `apt-get install mmdebstrap` and start again as root."
        )
    say(f"{image}: building from Debian packages (Docker Hub does not answer)")
    with tempfile.TemporaryDirectory() as tmp:
        tar = Path(tmp, "root.tar")
        excludes = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEAN]
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", "--include=ca-certificates",
             "--dpkgopt=force-unsafe-io", *excludes, "--aptopt=Acquire::Languages \"none\"", suite, str(tar), MIRROR],
            check=True,
        )  # fmt: skip
        docker("import", "--change", 'CMD ["bash"]', str(tar), image)
    return image


def node(suite: str, say: Say) -> str:
    """The "AMI": Debian with systemd and what Debian's cloud image has that Ansible needs."""
    return _build("node", suite, base(suite, say), say)


def services(say: Say) -> str:
    """HAProxy, docker-registry and Valkey, for the load balancers, ECR and ElastiCache."""
    return _build("services", "trixie", base("trixie", say), say)


def chroma(say: Say) -> str:
    """ChromaDB with the official image's contract: `chroma run /config.yaml`, port 8000, /data."""
    image = f"{PREFIX}/chroma:{CHROMA_VERSION}"
    if inspect("image", image):
        return image
    for upstream in (f"chromadb/chroma:{CHROMA_VERSION}", f"ghcr.io/chroma-core/chroma:{CHROMA_VERSION}"):
        if _pull(upstream, image):
            say(f"{image}: pulled {upstream}")
            return image
    spec = importlib.util.find_spec("chromadb_rust_bindings")
    if spec is None or spec.origin is None:
        raise DockerError(
            "No registry has the ChromaDB image and chromadb is not installed: run `make bootstrap`, then again."
        )
    return _build("chroma", CHROMA_VERSION, base("trixie", say), say, extra=Path(spec.origin).parent)


def build(names: list[str], say: Say) -> None:
    """Make the images, those that don't depend on each other at once."""
    makers: dict[str, Callable[[], str]] = {
        "node": lambda: node("trixie", say),
        "node-bookworm": lambda: node("bookworm", say),
        "services": lambda: services(say),
        "chroma": lambda: chroma(say),
    }
    base("trixie", say)
    with ThreadPoolExecutor(len(names)) as pool:
        for future in [pool.submit(makers[name]) for name in names]:
            future.result()


def remove() -> None:
    """Remove every image that was made or pulled here."""
    found = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{PREFIX}/*").split()
    if found:
        docker("image", "rm", "--force", *found)


def _pull(upstream: str, image: str) -> bool:
    try:
        docker("pull", "--quiet", upstream, timeout=300)
    except (DockerError, subprocess.TimeoutExpired):
        return False
    docker("tag", upstream, image)
    return True


def _build(recipe: str, tag: str, parent: str, say: Say, extra: Path | None = None) -> str:
    """`docker build` of images/RECIPE, unless an image of the same recipe is there."""
    image = f"{PREFIX}/{recipe}:{tag}"
    folder = RECIPES / recipe
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(folder.iterdir()))).hexdigest()[:16]
    found = inspect("image", image)
    if found and (found["Config"]["Labels"] or {}).get(f"{LABEL}.recipe") == digest:
        return image
    say(f"{image}: building")
    with tempfile.TemporaryDirectory() as tmp:
        context = Path(tmp, "context")
        shutil.copytree(folder, context)
        if extra:
            shutil.copytree(extra, context / extra.name, ignore=shutil.ignore_patterns("__pycache__"))
        docker("build", "--quiet", "--build-arg", f"BASE={parent}", "--label", f"{LABEL}.recipe={digest}",
               "--tag", image, str(context), timeout=900)  # fmt: skip
    return image
