"""A real corpus: what every module of the installed Ansible collections says of itself, and vectors for it.

The text is the modules' own documentation; the vectors come from WordLlama, whose weights its PyPI package carries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ansible_collections
import numpy as np
import wordllama
import yaml

DOCUMENTATION = re.compile(r"^DOCUMENTATION = r?(\"\"\"|''')\n(.*?)\1", re.MULTILINE | re.DOTALL)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
COLLECTIONS = ("amazon/aws", "community/aws", "community/docker", "community/general", "community/postgresql")


@dataclass(frozen=True)
class Document:
    """A module: its full name, its collection, and what it is for."""

    id: str
    collection: str
    text: str


def documents() -> list[Document]:
    """Every documented module of COLLECTIONS."""
    (root,) = ansible_collections.__path__[:1]
    return sorted(_modules(Path(root)), key=lambda document: document.id)


def embed(texts: list[str]) -> np.ndarray:
    """Unit vectors of 256 dimensions, float32."""
    return _model().embed(texts, norm=True).astype(np.float32)


_loaded: list[wordllama.WordLlamaInference] = []


def _model() -> wordllama.WordLlamaInference:
    if not _loaded:
        # Its package has both files, but it only finds the tokenizer's when the package is named as the cache.
        package = Path(wordllama.__file__).parent
        _loaded.append(wordllama.WordLlama.load(cache_dir=package, disable_download=True))
    return _loaded[0]


def _modules(root: Path) -> Iterator[Document]:
    for collection in COLLECTIONS:
        for path in (root / collection / "plugins/modules").glob("[a-z]*.py"):
            if documentation := _documentation(path):
                name = collection.replace("/", ".")
                yield Document(f"{name}.{path.stem}", name, documentation)


def _documentation(path: Path) -> str | None:
    found = DOCUMENTATION.search(path.read_text())
    if not found:
        return None
    parsed = yaml.load(found[2], LOADER)  # noqa: S506 (it is a safe loader, in C where there is one)
    described = parsed.get("description", "")
    first = described if isinstance(described, str) else described[0]
    return f"{parsed['short_description']}. {first}"
