"""The action `plan` and the table of the callback `fleet_plan`."""

from __future__ import annotations

import pytest
from ansible_collections.chromafleet.aws.plugins.action import plan
from ansible_collections.chromafleet.aws.plugins.callback import fleet_plan as table

SAME = {
    "order": (["b", "a"], ["a", "b"]),
    "order of rules": ([{"port": 443}, {"port": 80}], [{"port": 80}, {"port": 443}]),
    "number as text": (30, "30"),
    "truth": (True, "true"),
    "nothing": (None, ""),
    "order inside": ({"values": [2, 1]}, {"values": ["1", "2"]}),
}
DIFFERENT = {
    "one more": (["a"], ["a", "b"]),
    "twice": (["a"], ["a", "a"]),
    "truth and text": (True, "True"),
    "a key more": ({"a": 1}, {"a": 1, "b": 2}),
    "nothing and an empty list": (None, []),
    "zero and nothing": (0, None),
}


@pytest.mark.parametrize("case", SAME)
def test_the_same(case):
    one, other = SAME[case]
    assert plan.differences({"p": one}, {"p": other}, set()) == {}


@pytest.mark.parametrize("case", DIFFERENT)
def test_different(case):
    one, other = DIFFERENT[case]
    assert list(plan.differences({"p": one}, {"p": other}, set())) == ["p"]


def test_what_is_not_wanted_is_not_compared():
    assert plan.differences({"a": 1}, {"a": 1, "id": "x"}, set()) == {}


def test_a_secret_is_hidden():
    (difference,) = plan.differences({"token": "s3cr3t"}, {"token": "older"}, {"token"}).values()
    assert "s3cr3t" not in str(difference)
    assert "older" not in str(difference)


WANTED = """
          - {name: new, size: 1}
          - {name: grown, size: 2, tags: {a: b}, how: unknown}
          - {name: same, size: 3}
"""
FOUND = "{grown: {size: 1, tags: {a: b}, id: x}, same: {size: '3'}, old: {size: 9, id: y}}"
PLAY = f"""
- name: Tiny
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Compare
      chromafleet.aws.plan:
        kind: thing
        wanted: {WANTED}
        found: {FOUND}
        purge: true
        ignore: [how]
      register: things
    - name: Show
      ansible.builtin.debug:
        msg: >-
          apply={{{{ things.apply | map(attribute='name') | join('+') }}}}
          remove={{{{ things.remove | map(attribute='id') | join('+') }}}}.
"""
ENABLED = {"ANSIBLE_CALLBACKS_ENABLED": "chromafleet.aws.fleet_plan"}


def test_a_run_hands_over_what_differs(play):
    process = play(PLAY, env=ENABLED)
    assert "apply=new+grown remove=y." in process.stdout
    assert "changed=0" in process.stdout
    assert "FLEET PLAN" not in process.stdout


def test_a_check_run_hands_over_nothing_and_shows_the_table(play):
    process = play(PLAY, "--check", "--diff", env=ENABLED)
    assert "apply= remove=." in process.stdout
    assert "changed=1" in process.stdout
    assert "+++ after: thing" in process.stdout
    shown = process.stdout.partition("FLEET PLAN")[2].splitlines()[1:]
    assert [line for line in shown if line] == [
        "create   thing  new",
        "change   thing  grown  size: 1 -> 2",
        "destroy  thing  old",
        "unchanged: thing 1",
        "1 create, 1 change, 1 destroy, 1 unchanged",
    ]


def test_a_name_is_given_once(play):
    process = play(PLAY.replace("name: same", "name: new"), env=ENABLED)
    assert process.returncode == 2
    assert "More than one thing would have the name new: name them apart." in process.stdout + process.stderr


LISTS = {"before": ["10.0.0.0/8", "0.0.0.0/0"], "after": ["10.0.0.0/8"]}


def test_of_lists_only_what_differs_is_shown():
    assert table.change("cidrs", LISTS["before"], LISTS["after"], 60) == 'cidrs: ["0.0.0.0/0"] -> []'


def test_long_values_keep_both_ends():
    text = table.shown("a" * 100 + "b" * 100, 60)
    assert len(text) <= 60
    assert text.startswith("aaa")
    assert text.endswith("bbb")
