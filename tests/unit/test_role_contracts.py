"""What a role says about itself is what it does: its argument_specs, its defaults and its entry points agree."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if (path / "tasks").is_dir())
TYPES = {
    "bool": bool,
    "dict": dict,
    "float": (int, float),
    "int": int,
    "list": list,
    "path": str,
    "str": str,
}


def load(role, path):
    file = ROLES / role / path
    return (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}


def specs(role):
    return load(role, "meta/argument_specs.yml").get("argument_specs", {})


def is_templated(value):
    return "{{" in str(value) or "{%" in str(value)


def entry_points(role):
    """main, if there is one, and each tasks file that no other one of the role includes: only a user can call those."""
    files = {path.stem: path.read_text() for path in (ROLES / role / "tasks").glob("*.yml")}
    included = {
        name
        for text in files.values()
        for name in re.findall(r"(?:include|import)_tasks:\s*(?:\n\s+file:\s*)?[\"']?([a-z0-9_]+)\.yml", text)
    }
    # A handler may use a tasks file as well.
    for path in (ROLES / role / "handlers").glob("*.yml"):
        included |= set(re.findall(r"(?:include|import)_tasks:\s*[\"']?([a-z0-9_]+)\.yml", path.read_text()))
    return ({"main"} & set(files)) | (set(files) - included)


def options_of(options, path=()):
    for name, option in (options or {}).items():
        yield (*path, name), option
        yield from options_of(option.get("options"), (*path, name))


def cases():
    return [pytest.param(role, entry, id=f"{role}:{entry}") for role in NAMES for entry in specs(role)]


@pytest.mark.parametrize("role", NAMES)
def test_each_entry_point_has_a_specification(role):
    assert entry_points(role) - set(specs(role)) == set()
    # One that main includes as well may be an entry point of its own.
    assert [entry for entry in specs(role) if not (ROLES / role / "tasks" / f"{entry}.yml").exists()] == []


@pytest.mark.parametrize("role", NAMES)
def test_each_default_is_specified(role):
    specified = {name for spec in specs(role).values() for name in spec.get("options", {})}
    assert set(load(role, "defaults/main.yml")) - specified == set()


@pytest.mark.parametrize("role", NAMES)
def test_defaults_are_public_and_vars_private(role):
    assert [name for name in load(role, "defaults/main.yml") if not name.startswith(f"{role}_")] == []
    private = [name for path in (ROLES / role / "vars").glob("*.yml") for name in load(role, f"vars/{path.name}")]
    assert [name for name in private if not name.startswith(f"__{role}_")] == []


@pytest.mark.parametrize(("role", "entry"), cases())
def test_options_agree_with_the_defaults(role, entry):
    defaults = load(role, "defaults/main.yml")
    for name, option in (specs(role)[entry].get("options") or {}).items():
        assert name.startswith(f"{role}_"), f"{name} doesn't carry the role's name"
        if option.get("required"):
            assert name not in defaults, f"{name} is required and has a default"
            assert "default" not in option, f"{name} is required and its option has a default"
            continue
        assert name in defaults, (
            f"{name} is optional but not in defaults/main.yml; near it: {difflib.get_close_matches(name, defaults)}"
        )
        # What is built from other values can't be repeated in the specification; its description tells it.
        if is_templated(defaults[name]) and "default" not in option:
            continue
        assert option.get("default") == defaults[name], f"{name} has another default in argument_specs.yml"
        if not is_templated(defaults[name]) and defaults[name] is not None:
            expected = TYPES.get(option.get("type", "str"), object)
            assert isinstance(defaults[name], expected), f"{name} is no {option.get('type', 'str')}"
            assert not (expected is int and isinstance(defaults[name], bool)), f"{name} is a bool, not an int"


@pytest.mark.parametrize(("role", "entry"), cases())
def test_every_option_is_described(role, entry):
    spec = specs(role)[entry]
    assert spec.get("short_description"), "the entry point has no short_description"
    for path, option in options_of(spec.get("options")):
        name = ".".join(path)
        assert option.get("description"), f"{name} has no description"
        assert option.get("type"), f"{name} has no type"
        if "choices" in option and "default" in option:
            chosen = option["default"] if option["type"] == "list" else [option["default"]]
            assert set(chosen) <= set(option["choices"]), f"{name}: the default is none of the choices"


@pytest.mark.parametrize("role", NAMES)
def test_meta_main(role):
    info = load(role, "meta/main.yml")["galaxy_info"]
    assert info["author"]
    assert info["description"]
    assert info["license"] == "Apache-2.0"
    assert info["min_ansible_version"] == "2.19"
    assert info["platforms"]


@pytest.mark.parametrize("role", NAMES)
def test_tasks_files_are_short_and_named(role):
    for path in (ROLES / role / "tasks").glob("*.yml"):
        assert len(path.read_text().splitlines()) <= 85, f"{path.name} does too much for one file"


@pytest.mark.parametrize("role", NAMES)
def test_nothing_is_ignored(role):
    for path in (ROLES / role).rglob("*.yml"):
        assert "ignore_errors:" not in path.read_text(), path
