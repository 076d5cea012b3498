"""The action `wait_for_status`, run in this process with a module and a clock of the test's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.chromafleet.aws.plugins.action import wait_for_status as wait

ARGUMENTS = {
    "what": "replication group main",
    "module": "chromafleet.aws.fleet_info",
    "status": ["groups", "main", "status"],
    "until": ["available"],
    "failed": ["create-failed"],
}


@pytest.fixture
def run(monkeypatch):
    """Wait while the group has one status after the other; the result (or error) and the lines that were printed."""
    clock, lines = SimpleNamespace(now=0), []
    monkeypatch.setattr(wait.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(wait.time, "sleep", lambda seconds: setattr(clock, "now", clock.now + seconds))

    def call(*statuses, check=False, look=None, **arguments):
        answers = iter(statuses)

        class Action(wait.ActionModule):
            def __init__(self):
                self._task = SimpleNamespace(check_mode=check, args={**ARGUMENTS, **arguments}, async_val=0)
                self._display = SimpleNamespace(display=lines.append)

            def _look(self, *_):
                if look:
                    return look()
                status = next(answers)
                return {"groups": {"main": {"status": status}} if status else {}}

        monkeypatch.setattr(wait.ActionBase, "run", lambda *_: {})
        try:
            return Action().run(), lines
        except AnsibleActionFail as error:
            return error, lines

    return call


def test_what_is_there_is_not_waited_for(run):
    result, lines = run("available")
    assert (result["status"], result["elapsed"], lines) == ("available", 0, [])
    assert result["found"] == {"groups": {"main": {"status": "available"}}}


def test_tells_each_status_and_every_half_minute(run):
    result, lines = run(None, *["creating"] * 5, "modifying", "available")
    assert (result["status"], result["elapsed"]) == ("available", 105)
    assert lines == [
        "  replication group main: absent (0 s)",
        "  replication group main: creating (15 s)",
        "  replication group main: creating (45 s)",
        "  replication group main: creating (1 min 15 s)",
        "  replication group main: modifying (1 min 30 s)",
    ]


def test_waits_until_it_is_gone(run):
    result, _ = run("deleting", None, until=["absent"])
    assert result["status"] == "absent"


def test_a_status_that_leads_nowhere_ends_it(run):
    error, _ = run("creating", "create-failed")
    assert error.message == "The replication group main has the status create-failed: look at its events in AWS."


def test_how_much_is_done_and_why_it_ended(run):
    rows = iter([("creating", 0, None), ("creating", 50, None), ("create-failed", 50, "no capacity.")])

    def look():
        status, done, why = next(rows)
        return {"groups": {"main": {"status": status, "done": done, "why": why}}}

    paths = {"progress": ["groups", "main", "done"], "reason": ["groups", "main", "why"]}
    error, lines = run(look=look, **paths)
    assert lines == ["  replication group main: creating, 0 % (0 s)", "  replication group main: creating, 50 % (15 s)"]
    assert error.message == "The replication group main has the status create-failed: no capacity."


def test_the_end_of_the_time_is_one_sentence(run):
    error, _ = run(*["creating"] * 5, timeout=30, advice="raise the timeout")
    assert error.message == (
        "The replication group main is still creating after 30 s, and goes on without this run: raise the timeout."
    )


def test_a_check_run_waits_for_nothing(run):
    result, lines = run(check=True)
    assert result["skipped"]
    assert lines == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (["gateways", "0", "state"], "pending"),
        (["gateways", "1", "state"], "absent"),
        (["gateways", "x", "state"], "absent"),
        (["gateways", "0", "state", "deeper"], "absent"),
        (["done"], "True"),
    ],
)
def test_where_a_status_stands(path, status):
    assert wait.status_in({"gateways": [{"state": "pending"}], "done": True}, path) == status


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    group/amazon.aws.aws: {endpoint_url: "http://127.0.0.1:9", access_key: a, secret_key: b, region: us-east-1}
  tasks:
    - name: Wait in a play
      chromafleet.aws.wait_for_status:
        what: file
        module: ansible.builtin.stat
        arguments: {path: /dev/null}
        status: [stat, exists]
        until: ["True"]
    - name: Look with the module's defaults
      chromafleet.aws.wait_for_status:
        what: account
        module: amazon.aws.aws_caller_info
        status: [account]
        until: ["123456789012"]
"""


def test_looks_through_a_module_with_its_defaults(play):
    done = play(PLAY, env={"AWS_MAX_ATTEMPTS": "1"})
    assert "ok=1 " in done.stdout
    assert "Can't see the status of the account: " in done.stdout
    assert "http://127.0.0.1:9" in done.stdout


HALF_MADE = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Wait for what a check run has to find
      chromafleet.aws.wait_for_status:
        what: host
        module: ansible.builtin.command
        arguments: {argv: [sh, -c, "cat %s; echo dead >%s"]}
        status: [stdout]
        until: [dead]
        delay: 1
      check_mode: false
"""


def test_a_task_may_wait_in_a_check_run_too(play, tmp_path):
    """As for a host that configures itself: what is half made can't be looked at."""
    state = tmp_path / "state"
    state.write_text("start")
    done = play(HALF_MADE % (state, state), "--check")
    assert done.returncode == 0, done.stdout
    assert "  host: start (0 s)" in done.stdout
    assert "ok=1 " in done.stdout
