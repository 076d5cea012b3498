"""The end-of-run summary on tiny playbooks."""

from __future__ import annotations

import pytest

BANNER = "FLEET SUMMARY"


def tasks(body, hosts="one"):
    return f"- name: Tiny\n  hosts: {hosts}\n  gather_facts: false\n  tasks:\n" + body


def summary(process):
    assert "Traceback" not in process.stderr + process.stdout
    assert "[WARNING]: Failure using" not in process.stderr + process.stdout  # Ansible's words for a crashed callback
    return process.stdout.partition(BANNER)[2].partition("\n")[2].splitlines()


CHANGE = """
    - name: Write the letter
      ansible.builtin.copy: {content: x, dest: "{{ playbook_dir }}/letter-{{ inventory_hostname }}", mode: "0600"}
"""
ROWS = """
    - name: Hand rows over
      ansible.builtin.set_stats:
        data: {fleet_summary: [[Endpoint, "https://chroma.example.com"], [Instances, [i-1 writer, i-2 reader]]]}
    - name: Hand more rows over
      ansible.builtin.set_stats:
        data:
          fleet_summary: [[Reader endpoint, "https://read.chroma.example.com"], [Instances, [i-1 writer, i-2 reader]]]
"""


def test_silent_with_nothing_to_say(play):
    process = play(tasks("    - name: Look\n      ansible.builtin.debug: {msg: hello}\n"))
    assert process.returncode == 0
    assert BANNER not in process.stdout


def test_changes_with_hosts(play):
    process = play(tasks(CHANGE, hosts="fleet"))
    assert summary(process) == ["Changed:", "  Write the letter [one, two]"]
    assert BANNER not in play(tasks(CHANGE, hosts="fleet")).stdout


def test_batches_of_a_serial_play_share_a_line(play):
    process = play(tasks(CHANGE, hosts="fleet").replace("  tasks:", "  serial: 1\n  tasks:"))
    assert summary(process) == ["Changed:", "  Write the letter [one, two]"]


def test_check_mode_says_would(play):
    assert summary(play(tasks(CHANGE), "--check"))[0] == "Would change:"


def test_rows_are_aligned_and_once(play):
    assert summary(play(tasks(ROWS, hosts="fleet"))) == [
        "Changed: nothing",
        "",
        "  Endpoint         https://chroma.example.com",
        "  Instances        i-1 writer",
        "                   i-2 reader",
        "  Reader endpoint  https://read.chroma.example.com",
    ]


@pytest.mark.parametrize("value", ["word", "{a: b}", "[word, [a, b, c], []]", "[[1, null]]", "''"])
def test_odd_rows_are_harmless(play, value):
    process = play(tasks(f"    - name: Rows\n      ansible.builtin.set_stats: {{data: {{fleet_summary: {value}}}}}\n"))
    assert process.returncode == 0
    summary(process)


def test_long_values_are_wrapped_never_cut(play):
    words = " ".join(f"word{number}" for number in range(60))
    lines = summary(play(tasks(f"    - ansible.builtin.set_stats: {{data: {{fleet_summary: [[Long, {words}]]}}}}\n")))
    assert max(map(len, lines)) <= 120
    assert " ".join(" ".join(lines[2:]).split()) == f"Long {words}"


def test_more_changes_than_lines(play):
    body = "".join(
        CHANGE.replace("Write", f"Write {number}").replace("letter-", f"letter{number}-") for number in range(5)
    )
    lines = summary(play(tasks(body), env={"FLEET_SUMMARY_MAX_CHANGES": "3"}))
    assert len(lines) == 5
    assert lines[-1] == "  +2 more"


def test_failure_names_host_task_and_message(play):
    body = CHANGE + '    - name: Stumble\n      ansible.builtin.fail: {msg: "Line one.\\nLine two."}\n'
    process = play(tasks(body))
    assert process.returncode == 2
    text = "\n".join(summary(process))
    assert "Failed: one: Stumble: Line one. Line two." in text
    assert "start the same command again" in text.replace("\n", " ")
    assert "nothing of this run is lost" in text.replace("\n", " ")


def test_failure_of_a_command_ends_with_its_last_error_line(play):
    body = "    - name: Run\n      ansible.builtin.shell: echo first >&2; echo bad luck >&2; exit 3\n"
    assert any(line.endswith("non-zero return code: bad luck") for line in summary(play(tasks(body))))


def test_failed_loop_shows_the_item_that_failed(play):
    body = """
    - name: Loop
      ansible.builtin.fail: {msg: "item {{ item }} is bad"}
      when: item == 2
      loop: [1, 2]
"""
    assert any(line.endswith("Failed: one: Loop: item 2 is bad") for line in summary(play(tasks(body))))


def test_no_log_stays_hidden(play):
    body = """
    - name: Loop
      ansible.builtin.fail: {msg: "s3cret {{ item }}"}
      no_log: true
      loop: [1, 2]
"""
    process = play(tasks(body), "-vvv")
    # Core's own [ERROR] line prints the message of a failed no_log task (2.19.14); what is ours must not.
    assert "s3cret" not in "\n".join(summary(process))
    assert any("Failed: one: Loop: the output has been hidden" in line for line in summary(process))


def test_rescued_failure_is_none(play):
    body = """
    - name: Try
      block:
        - name: Stumble
          ansible.builtin.fail: {msg: never mind}
      rescue:
        - name: Go on
          ansible.builtin.debug: {msg: fine}
"""
    process = play(tasks(body))
    assert process.returncode == 0
    assert BANNER not in process.stdout


def test_unreachable_host(play):
    process = play(tasks(CHANGE), "-e", "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1")
    assert process.returncode == 4
    assert any(line.startswith("Failed: one: Write the letter: ") for line in summary(process))
