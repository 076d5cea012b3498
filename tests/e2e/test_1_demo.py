"""`make demo` on a clean clone, and once more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import Done, run


def test_it_ends_with_the_right_neighbours(demo: Done) -> None:
    assert "7 of 7 questions: the nearest neighbours are right." in demo.output
    assert "WRONG" not in demo.output


def test_it_prints_how_long_each_part_took(demo: Done) -> None:
    parts = re.findall(r"^ *\d+ s  (.+)$", demo.output, re.MULTILINE)
    assert parts == [
        "Install what is missing",
        "Start the local cloud",
        "Build the fleet: ansible-playbook -i inventories/local site.yml",
        "Store a corpus and ask it",
        "altogether",
    ]


def test_it_ends_with_the_summary(demo: Done) -> None:
    summary = demo.output.split("FLEET SUMMARY")[1]
    for line in (
        r"Endpoint +https://chroma\.localhost$",
        r"Images +chromafleet/demo/chroma@sha256:[0-9a-f]{12}$",
        r"Instances +i-[0-9a-f]+ writer us-east-1[ab] healthy$",
        r"Token +secret chromafleet/demo/tokens in Secrets Manager",
        r"Next +ansible-playbook",
        r"aws_network : Make the VPC",
    ):
        assert re.search(line, summary, re.MULTILINE), line


# Each time it is seen by what an update changes after a writer was replaced (test_3_rolling.py).
@pytest.mark.long
def test_again_changes_nothing(demo: Done, clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = run("make", "demo", cwd=clone)
    with capsys.disabled():
        print(again.output[again.output.index("FLEET SUMMARY") :])
    assert again.code == 0
    changed = again.changed()
    assert len(changed) == 2
    assert set(changed.values()) == {0}
    assert "the nearest neighbours are right" in again.output


def test_nothing_frightens_the_reader(demo: Done) -> None:
    assert "[WARNING]" not in demo.output
    assert "[ERROR]" not in demo.output
    assert "Traceback" not in demo.output
