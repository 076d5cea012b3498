# SPDX-License-Identifier: Apache-2.0
"""The filter `schema_faults`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError
from ansible_collections.chromafleet.aws.plugins.module_utils.spelling import closest

try:
    from jsonschema import Draft202012Validator
except ImportError:  # told when the filter is used
    Draft202012Validator = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENTATION = r"""
name: schema_faults
short_description: What in a value a closed JSON schema doesn't allow, as sentences
description:
  - Each sentence names the place and the value, and what is expected there; an unknown key comes with the known one
    that is most like it.
  - An object of the schema may have C(refused), which maps keys to the reason why they can't be set.
author:
  - Chroma Fleet developers (@chromafleet)
requirements:
  - jsonschema
positional: schema
options:
  _input:
    description: The value.
    type: raw
    required: true
  schema:
    description: The schema, JSON Schema 2020-12.
    type: dict
    required: true
  name:
    description: What the value is called in the sentences.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what the server would not understand
  ansible.builtin.debug:
    msg: "{{ {'persist_directory': '/data'} | chromafleet.aws.schema_faults(schema, name='config.yaml') }}"
  vars:
    schema: "{{ lookup('ansible.builtin.file', 'config.schema.json') | from_json }}"
"""

RETURN = r"""
_value:
  description: The sentences; an empty list when all is well.
  type: list
  elements: str
"""


def place(error: Any) -> str:
    """Where an error is, such as `open_telemetry.filters[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")


def unknown_keys(error: Any) -> Iterator[str]:
    """A sentence for each key that doesn't belong into an object."""
    known = error.schema.get("properties", {})
    refused = error.schema.get("refused", {})
    start = f"{place(error)}." if error.absolute_path else ""
    for key in sorted(set(map(str, error.instance)) - set(known)):
        if key in refused:
            yield f"{start}{key} can't be set: {refused[key]}"
            continue
        near = closest(key, known)
        fix = f"did you mean {near}?" if near else f"known are {', '.join(sorted(known))}"
        yield f"{start}{key} is no known key ({fix})"


def sentences(error: Any) -> Iterator[str]:
    """What one error of the schema means."""
    where, value = place(error) or "the whole", json.dumps(error.instance)
    match error.validator:
        case "additionalProperties":
            yield from unknown_keys(error)
        case "type":
            yield f"{where} is {value}, but the type {error.validator_value} is expected"
        case "minimum" | "exclusiveMinimum":
            yield f"{where} is {value}, but must be at least {error.validator_value}"
        case "maximum":
            yield f"{where} is {value}, but must be at most {error.validator_value}"
        case "enum":
            yield f"{where} is {value}, but must be one of {', '.join(map(str, error.validator_value))}"
        case "pattern" | "minLength":
            yield f"{where} is {value}, but must match {error.schema.get('pattern', 'a text that is not empty')}"
        case "maxProperties" | "minProperties":
            yield f"{where} must have {error.validator_value} of the keys {', '.join(error.schema['properties'])}"
        case _:
            yield f"{where}: {error.message}"


def schema_faults(value: Any, schema: dict[str, Any], *, name: str) -> list[str]:
    """All faults of a value."""
    if Draft202012Validator is None:
        raise AnsibleFilterError("The Python package jsonschema is missing on the controller; requirements.txt has it.")
    # Through JSON, because Ansible's own types of strings and numbers are no concern of a schema.
    plain = json.loads(json.dumps(value, default=str))
    errors = sorted(
        Draft202012Validator(schema).iter_errors(plain), key=lambda error: list(map(str, error.absolute_path))
    )
    return [f"{name}: {text}." for error in errors for text in sentences(error)]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """The filters of this file."""
        return {"schema_faults": schema_faults}
