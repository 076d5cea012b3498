"""Each role's meta/argument_specs.yml says the same as its defaults/main.yml."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

ROLES = sorted(path.parent for path in (Path(__file__).parents[2] / "roles").glob("*/meta") if path.parent.is_dir())
PYTHON_TYPES = {"str": str, "path": str, "int": int, "bool": bool, "list": list, "dict": dict, "float": float}


def read(path):
    return (yaml.safe_load(path.read_text()) if path.exists() else None) or {}


def entries(role):
    return read(role / "meta/argument_specs.yml")["argument_specs"]


def options(role):
    merged = {}
    for entry in entries(role).values():
        merged.update(entry.get("options", {}))
    return merged


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request):
    return request.param


def derived(value):
    """A default that is computed from other variables; its option may tell it in words."""
    return "{{" in json.dumps(value)


def test_same_defaults(role):
    declared = {name: option["default"] for name, option in options(role).items() if "default" in option}
    defaults = read(role / "defaults/main.yml")
    told = {name: value for name, value in defaults.items() if name in declared or not derived(value)}
    assert declared == told


def test_every_default_is_declared(role):
    assert set(read(role / "defaults/main.yml")) <= set(options(role))


def test_required_or_default(role):
    defaults = read(role / "defaults/main.yml")
    for name, option in options(role).items():
        assert (name in defaults) != option.get("required", False), name


def test_types_fit_defaults(role):
    for name, option in options(role).items():
        default = option.get("default")
        if default is None or (isinstance(default, str) and "{{" in default):
            continue
        assert type(default) is PYTHON_TYPES[option["type"]], name


def test_public_names_start_with_the_role(role):
    for name in options(role):
        assert name.startswith(f"{role.name}_"), name


def test_everything_is_described(role):
    for entry in entries(role).values():
        assert entry["short_description"]
        assert entry["description"]
        for name, option in entry.get("options", {}).items():
            assert option["description"], name


def test_entry_points_exist(role):
    for entry in entries(role):
        assert (role / f"tasks/{entry}.yml").exists(), entry


def test_same_option_in_every_entry_point(role):
    seen = {}
    for entry in entries(role).values():
        for name, option in entry.get("options", {}).items():
            assert seen.setdefault(name, option) == option, name


def test_files_are_short(role):
    for path in (role / "tasks").glob("*.yml"):
        assert len(path.read_text().splitlines()) <= 80, path
