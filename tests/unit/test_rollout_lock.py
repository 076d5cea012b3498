"""One rollout at a time: who holds the lock, who gets it, and who is told what."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from ansible_collections.chromafleet.aws.plugins.action import rollout_lock as action
from ansible_collections.chromafleet.aws.plugins.modules import rollout_lock as module

BUCKET = "chromafleet-demo-123456789012-us-east-1-boot"
ANNA, BERT = "anna@laptop pid 4711", "bert@desk pid 12"


@pytest.fixture
def s3(empty_account):
    client = empty_account("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def ask(run_module, s3):
    def asked(holder, **arguments):
        return run_module("rollout_lock", bucket=BUCKET, holder=holder, **arguments)

    return asked


def held(s3):
    return json.loads(s3.get_object(Bucket=BUCKET, Key="rollout.json")["Body"].read())


def test_one_takes_renews_and_frees_it(ask, s3):
    taken = ask(ANNA, what="rolling update")
    assert (taken["changed"], taken["holder"], taken["taken_from"]) == (True, ANNA, "")
    renewed = ask(ANNA, what="rolling update", lease=9000)
    assert (renewed["changed"], renewed["since"]) == (False, taken["since"])
    assert held(s3)["until"] > taken["until"]
    assert ask(ANNA, state="absent")["changed"]
    assert not ask(ANNA, state="absent")["changed"]
    assert held(s3)["holder"] == ""
    assert ask(BERT)["changed"]


def test_another_one_is_told_who_has_it(ask, s3):
    since = ask(ANNA, what="rolling update")["since"]
    refused = ask(BERT)
    assert f"{ANNA} makes a rolling update since {since}" in refused["msg"]
    assert f'fleet_unlock="{ANNA}"' in refused["msg"]
    assert refused["holder"] == ANNA
    assert not ask(BERT, state="absent")["changed"]
    assert held(s3)["holder"] == ANNA


def test_it_is_free_when_its_time_is_over_or_when_told(ask):
    ask(ANNA, lease=-1)
    assert ask(BERT)["taken_from"] == ANNA
    assert ask(ANNA, take_over="carl@desk pid 1")["holder"] == BERT
    assert ask(ANNA, take_over=BERT)["taken_from"] == BERT
    # The one that it was taken from does not free it.
    assert not ask(BERT, state="absent")["changed"]


def test_whether_it_is_available(ask, s3):
    assert not ask(BERT, state="available")["changed"]
    ask(ANNA, what="rolling update")
    assert f"{ANNA} makes a rolling update" in ask(BERT, state="available")["msg"]
    assert not ask(ANNA, state="available")["changed"]
    assert held(s3)["holder"] == ANNA
    freed = ask(BERT, state="available", take_over=ANNA)
    assert (freed["changed"], freed["taken_from"], held(s3)["holder"]) == (True, ANNA, "")
    ask(ANNA, lease=-1)
    assert ask(BERT, state="available")["taken_from"] == ANNA


def test_of_two_that_come_at_once_one_gets_it(s3):
    for until in ("2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z"):
        first, second = (module.Lock(s3, BUCKET, "rollout.json") for _ in range(2))
        first.read()
        second.read()
        assert first.write({**module.FREE, "holder": ANNA, "until": until})
        assert not second.write({**module.FREE, "holder": BERT})
        assert (held(s3)["holder"], held(s3)["until"]) == (ANNA, until)


def test_a_check_run_writes_nothing(ask, s3):
    assert ask(ANNA, check=True)["changed"]
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


def test_a_run_of_this_machine_that_has_ended():
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    here = action.this_run().partition(" pid ")[0]
    assert action.has_ended(f"{here} pid {process.pid}")
    assert not action.has_ended(f"{here} pid {os.getpid()}")
    # Of other machines nobody knows.
    assert not action.has_ended(f"anna@elsewhere pid {process.pid}")
    assert not action.has_ended("")
