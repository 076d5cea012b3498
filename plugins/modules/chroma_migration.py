#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Copy collections into a Chroma server and prove that every record arrived."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chroma_migration
version_added: 0.1.0
short_description: Copy collections into a Chroma server and prove that every record arrived
description:
  - Copies the collections of a running Chroma server, of a data directory (ChromaDB 0.4 or later) or of exported files
    into a Chroma server, with ids, embeddings, documents, metadata, URIs and the collections' configuration.
    Nothing is embedded anew.
  - Compares every record of both sides by checksum afterwards.
  - A run that was interrupted goes on where it was. What the target has already is not written again.
  - A data directory is not touched. A throw-away server opens a copy of it, which needs twice its size in O(state).
  - In check mode, compares both sides and tells what would be written.
author:
  - Chroma Fleet developers
options:
  source:
    description: Where the records come from.
    type: dict
    required: true
    suboptions: &place
      location:
        description: The address of a server, V(https://host[:port]), or as a source a directory.
        type: str
        required: true
      tenant:
        description: The tenant.
        type: str
        default: default_tenant
      database:
        description: The database. Without one, all of the source's are copied, each into the one of its name.
        type: str
      token:
        description: The token that the server asks for.
        type: str
      token_header:
        description: The header of the token. In C(Authorization) it is sent as a bearer token, in another one as it is.
        type: str
        default: Authorization
      ca_file:
        description: A file of certificates to trust in place of the system's.
        type: path
  target:
    description: Where the records go to. Database and tenant are made where they are missing.
    type: dict
    required: true
    suboptions: *place
  collections:
    description: Names of the collections to copy. Empty means all.
    type: list
    elements: str
    default: []
  rename:
    description: The name that the collection gets in the target, where exactly one is copied.
    type: str
    default: ""
  only_new:
    description: Whether to fail when the target has a collection of that name, which no interrupted run has begun.
    type: bool
    default: false
  delete_extra:
    description: Whether to delete records of these collections that only the target has.
    type: bool
    default: false
  allow_differences:
    description: Whether to succeed when records differ after the copy, as they do while the source is being written.
    type: bool
    default: false
  state:
    description: A directory for the journal, by which an interrupted run goes on, and for temporary files.
    type: path
    default: ~/.local/state/chromafleet-migrate
  batch:
    description: Records in a request. Chroma Cloud takes at most 300.
    type: int
    default: 300
  in_flight:
    description: Requests under way at the same time. Chroma Cloud takes at most 10.
    type: int
    default: 2
  server_image:
    description: An image of ChromaDB that opens a data directory with Docker. Without one, the program C(chroma) does.
    type: str
extends_documentation_fragment:
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: Copy a directory of an older ChromaDB into the fleet
  chromafleet.aws.chroma_migration:
    source:
      location: /srv/app/chroma_db
    target:
      location: https://chroma.example.com
      token: "{{ chroma_token }}"
    server_image: docker.io/chromadb/chroma:1.5.9

- name: Copy one collection to Chroma Cloud
  chromafleet.aws.chroma_migration:
    source:
      location: https://chroma.example.com
      token: "{{ chroma_token }}"
      database: default_database
    target:
      location: https://api.trychroma.com
      tenant: 6f0c1d2e-0000-0000-0000-000000000000
      database: production
      token: "{{ chroma_cloud_key }}"
      token_header: x-chroma-token
    collections: [articles]
"""

RETURN = r"""
proved:
  description: Whether both sides hold the same.
  returned: always
  type: bool
collections:
  description: What was copied and how the two sides compare.
  returned: always
  type: list
  elements: dict
  contains:
    database:
      description: Database of the source.
      type: str
    name:
      description: Name of the collection.
      type: str
    written:
      description: Number of records that were written, or in check mode would be.
      type: int
    deleted:
      description: Number of records that were deleted because the source has them no more, or in check mode would be.
      type: int
    equal:
      description: Number of records that are the same.
      type: int
    missing:
      description: Number of records that the target lacks.
      type: int
    extra:
      description: Number of records that only the target has.
      type: int
    different:
      description: Number of records that differ.
      type: int
    ids:
      description: The first ids of each kind, at most five.
      type: dict
    settings:
      description: What differs in the collection itself, in words.
      type: list
      elements: str
    says:
      description: All of it in a line.
      type: str
      sample: 12000 written, 12000 equal
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.chromafleet.aws.plugins.module_utils.migration import migration
from ansible_collections.chromafleet.aws.plugins.module_utils.migration.cli import describe
from ansible_collections.chromafleet.aws.plugins.module_utils.migration.errors import MigrationError
from ansible_collections.chromafleet.aws.plugins.module_utils.migration.places import Place
from ansible_collections.chromafleet.aws.plugins.module_utils.migration.transfer import Pace

PLACE = {
    "location": {"type": "str", "required": True},
    "tenant": {"type": "str", "default": "default_tenant"},
    "database": {"type": "str"},
    "token": {"type": "str", "no_log": True},
    "token_header": {"type": "str", "default": "Authorization", "no_log": False},
    "ca_file": {"type": "path"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "dict", "required": True, "options": PLACE},
            "target": {"type": "dict", "required": True, "options": PLACE},
            "collections": {"type": "list", "elements": "str", "default": []},
            "rename": {"type": "str", "default": ""},
            "only_new": {"type": "bool", "default": False},
            "delete_extra": {"type": "bool", "default": False},
            "allow_differences": {"type": "bool", "default": False},
            "state": {"type": "path", "default": "~/.local/state/chromafleet-migrate"},
            "batch": {"type": "int", "default": Pace.batch},
            "in_flight": {"type": "int", "default": Pace.in_flight},
            "server_image": {"type": "str"},
        },
        supports_check_mode=True,
    )
    for name in ("batch", "in_flight"):
        if module.params[name] < 1:
            module.fail_json(msg=f"{name} is {module.params[name]}: expected a number from 1.")
    try:
        moved = list(run(module))
    except MigrationError as error:
        module.fail_json(msg=str(error))
    result = outcome(moved, predict=module.check_mode, delete_extra=module.params["delete_extra"])
    if not (result["proved"] or module.check_mode or module.params["allow_differences"]):
        faults = "; ".join(f"{row['name']}: {row['says']}" for row in result["collections"] if not row["proved"])
        module.fail_json(
            msg=f"The target is not what the source is: {faults}. Stop what writes to either side and start it again.",
            **result,
        )
    module.exit_json(**result)


def run(module: AnsibleModule) -> Any:
    """Copy, or in check mode only compare."""
    params = module.params
    source, target = Place(**params["source"]), Place(**params["target"])
    options = migration.Options(
        state=Path(params["state"]),
        collections=tuple(params["collections"]),
        pace=Pace(params["batch"], params["in_flight"]),
        delete_extra=params["delete_extra"],
        server_image=params["server_image"],
        rename=params["rename"],
        only_new=params["only_new"],
    )
    if module.check_mode:
        return migration.verify(source, target, options)
    return migration.copy(source, target, options, lambda progress: None)


def outcome(moved: list[migration.Moved], *, predict: bool, delete_extra: bool) -> dict[str, Any]:
    """The module's result. What would be written is what a comparison finds missing or different."""
    rows = []
    for one in moved:
        verdict = one.verdict
        written, deleted = one.written, verdict.deleted
        if predict:
            written, deleted = verdict.missing + verdict.different, verdict.extra if delete_extra else 0
        rows.append(
            {
                "database": one.database,
                "name": verdict.collection,
                "written": written,
                "deleted": deleted,
                "equal": verdict.equal,
                "missing": verdict.missing,
                "extra": verdict.extra,
                "different": verdict.different,
                "ids": verdict.ids,
                "settings": verdict.settings,
                "proved": verdict.proved,
                "says": f"{written} {'to write' if predict else 'written'}, {describe(verdict)}",
            }
        )
    return {
        "changed": any(row["written"] or row["deleted"] for row in rows),
        "proved": all(row["proved"] for row in rows),
        "collections": rows,
    }


if __name__ == "__main__":
    main()
