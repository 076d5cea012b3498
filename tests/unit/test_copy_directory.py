"""The module `copy_directory` with its action: real runs of a playbook on this machine."""

from __future__ import annotations

import getpass
import grp
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from ansible_runs import run_ansible

FILES = {"one.py": "print('one')\n", "two.lua": "-- zwei: zwölf {{ not_a_template }}\n", "deep/er/three.txt": "three\n"}


class Copy:
    """The directory, and a play that copies it."""

    def __init__(self, folder: Path) -> None:
        self.source, self.target = folder / "files/things", folder / "target/of/things"
        for name, text in FILES.items():
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text(text)
        self.playbook = folder / "play.yml"
        self.arguments = {
            "src": "things",
            "dest": str(self.target),
            "owner": getpass.getuser(),
            "group": grp.getgrgid(os.getgid()).gr_name,
        }

    def run(self, *options: str, **changes: str):
        task = {"name": "Copy", "chromafleet.aws.copy_directory": self.arguments | changes}
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
        self.playbook.write_text(json.dumps([play]))
        return run_ansible(self.playbook, *options, inventory="localhost,")

    @property
    def there(self) -> dict[str, str]:
        return {str(path.relative_to(self.target)): path.read_text() for path in self.target.rglob("*.*")}


def changed(done) -> int:
    assert done.returncode == 0, done.stdout
    return int(re.findall(r"changed=(\d+)", done.stdout)[-1])


def modes(paths: Iterable[Path]) -> set[str]:
    return {oct(path.stat().st_mode & 0o777) for path in paths}


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_from_nothing_to_what_was_changed_by_hand(copy: Copy) -> None:
    assert changed(copy.run("--check")) == 1
    assert not copy.target.exists()

    made = copy.run("-vvv")
    assert changed(made) == 1
    assert copy.there == FILES
    assert modes(copy.target.rglob("*.*")) == {"0o644"}
    assert modes([copy.target, copy.target / "deep"]) == {"0o755"}
    # What a module is given and says is logged on the host.
    assert "two.lua" in made.stdout
    assert "print('one')" not in made.stdout

    assert changed(copy.run()) == 0

    (copy.target / "one.py").write_text("print('by hand')\n")
    (copy.target / "two.lua").chmod(0o600)
    (copy.target / "of-another").write_text("stays\n")
    shown = copy.run("--check", "--diff")
    assert changed(shown) == 1
    assert "-print('by hand')" in shown.stdout
    assert "+print('one')" in shown.stdout
    assert "three" not in shown.stdout
    assert copy.there["one.py"] == "print('by hand')\n"

    assert changed(copy.run()) == 1
    assert copy.there == FILES
    assert modes(copy.target.rglob("*.*")) == {"0o644"}
    assert (copy.target / "of-another").read_text() == "stays\n"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("missing", "src missing: Could not find or access 'missing'"),
        ("things/one.py", "src things/one.py is not a directory; ansible.builtin.copy takes single files"),
    ],
)
def test_what_is_no_directory_is_one_sentence(copy: Copy, source: str, told: str) -> None:
    done = copy.run(src=source)
    assert done.returncode == 2
    assert told in " ".join(done.stdout.split())
    assert not copy.target.exists()
