#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Copies the text files of a directory with one call of a module."""

from __future__ import annotations

DOCUMENTATION = r"""
module: copy_directory
short_description: Copy the text files of a directory to a host in one go
version_added: 1.0.0
author: Chroma Fleet (@chromafleet)
description:
  - Copies every file below a directory of the role's C(files) with the same owner, group and mode.
  - M(ansible.builtin.copy) runs two modules on the host for each file, this one runs one for all of them.
  - Files on the host that the directory does not have are left alone.
options:
  src:
    description:
      - The directory, looked for as M(ansible.builtin.copy) looks for its O(ansible.builtin.copy#module:src).
      - Its files must be text in UTF-8.
    type: path
    required: true
  files:
    description: Set by the action plugin from O(src). The files' texts by path, relative to O(dest).
    type: dict
  dest:
    description: The directory on the host. Made, with its parents and with mode C(0755), where it is missing.
    type: path
    required: true
  owner:
    description: Who owns the files and the directories that are made.
    type: str
    default: root
  group:
    description: The group of the files and the directories that are made.
    type: str
    default: root
  mode:
    description: The mode of the files.
    type: str
    default: "0644"
attributes:
  check_mode:
    description: Compares and changes nothing.
    support: full
  diff_mode:
    description: Shows the lines that change.
    support: full
"""

EXAMPLES = r"""
- name: Copy the tools
  chromafleet.aws.copy_directory:
    src: tools
    dest: /usr/local/lib/chromafleet/chromadb
"""

RETURN = r"""
written:
  description: The files that were made or replaced, relative to O(dest).
  returned: always
  type: list
  elements: str
  sample: [probe.py]
"""

import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def current_text(path: Path) -> str | None:
    """What a file holds; None where it is missing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def missing_directories(path: Path) -> list[Path]:
    """Those of a path that aren't there, outermost first."""
    missing = []
    while not path.exists():
        missing.insert(0, path)
        path = path.parent
    return missing


def write(module: AnsibleModule, path: Path, text: str) -> None:
    """Replace a file at once, so that nobody reads half of it."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=module.tmpdir, delete=False) as file:
        file.write(text)
    module.atomic_move(file.name, str(path))


def main() -> None:
    """The module."""
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path"},
            # Not secret, but each call of a module is logged on the host with what it was given.
            "files": {"type": "dict", "required": True, "no_log": True},
            "dest": {"type": "path", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0644"},
        },
        supports_check_mode=True,
    )
    dest = Path(module.params["dest"])
    wanted = {name: module.params[name] for name in ("owner", "group", "mode")}
    changed, written, diffs = False, [], []

    def set_attributes(path: Path, mode: str) -> bool:
        arguments = module.load_file_common_arguments({**wanted, "mode": mode}, path=str(path))
        return module.set_fs_attributes_if_different(arguments, changed=False)

    for name, text in module.params["files"].items():
        path = dest / name
        before = current_text(path)
        if before != text:
            changed = True
            written.append(name)
            if module._diff:
                diffs.append({"before_header": str(path), "after_header": str(path), "before": before or ""})
            if not module.check_mode:
                for folder in missing_directories(path.parent):
                    folder.mkdir()
                    set_attributes(folder, "0755")
                write(module, path, text)
        if path.exists():
            changed |= set_attributes(path, wanted["mode"])
    module.exit_json(changed=changed, written=written, diff=diffs)


if __name__ == "__main__":
    main()
