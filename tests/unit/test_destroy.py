"""playbooks/destroy.yml up to the point where something would be destroyed."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_runs import ROOT

SHARED = ROOT / "group_vars" / "common.yml"
DESTROY = ROOT / "playbooks" / "destroy.yml"


@pytest.fixture
def destroy(play, tmp_path, aws):
    """Run the playbook for the fleet demo in the test's account, without a terminal."""

    def run(*arguments, **values):
        folder = tmp_path / "environment"
        (folder / "group_vars" / "all").mkdir(parents=True, exist_ok=True)
        (folder / "hosts.ini").write_text("")
        (folder / "group_vars" / "all" / "00_common.yml").write_text(SHARED.read_text())
        own = {"fleet_name": "demo", "fleet_region": "us-east-1", "fleet_domain": "localhost"}
        own |= {"fleet_aws_connection": aws.connection}
        (folder / "group_vars" / "all" / "10_own.yml").write_text(yaml.safe_dump(own))
        aws.forget()
        return play(DESTROY, *arguments, "-e", json.dumps(values), inventory=folder)

    return run


@pytest.fixture(scope="module")
def bucket(aws):
    """A bucket of the fleet that holds an object, in the account of these tests."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="chromafleet-demo-123456789012-us-east-1")
    s3.put_bucket_tagging(
        Bucket="chromafleet-demo-123456789012-us-east-1",
        Tagging={"TagSet": [{"Key": "chromafleet:fleet", "Value": "demo"}]},
    )
    s3.put_object(Bucket="chromafleet-demo-123456789012-us-east-1", Key="snapshot", Body=b"data")
    return "chromafleet-demo-123456789012-us-east-1"


def said(done):
    return " ".join(done.stdout.split())


# The first test runs in the empty account; those below have a bucket in it.


def test_where_nothing_is_there_is_nothing_to_ask(destroy, aws):
    done = destroy()
    assert done.returncode == 0, done.stdout
    assert "Nothing of the fleet demo is left in us-east-1." in said(done)
    assert "changed=0" in done.stdout
    assert aws.writes() == []


def test_a_bucket_that_holds_something_stops_it_before_the_question(destroy, aws, bucket):
    done = destroy(confirm="demo")
    assert done.returncode == 2
    assert f"The bucket {bucket}" in said(done)
    assert "then set aws_storage_empty_buckets to true" in said(done)
    assert aws.writes() == []


ANSWERS = {
    "none": (
        "",
        "No name was given, so nothing was destroyed: type demo when you are asked, or start with -e confirm=demo.",
    ),
    "wrong": ("dem", '"dem" is not the name of the fleet, so nothing was destroyed: type demo when'),
}


@pytest.mark.long
@pytest.mark.parametrize("case", ANSWERS)
def test_another_answer_destroys_nothing(destroy, aws, bucket, case):
    answer, sentence = ANSWERS[case]
    done = destroy(confirm=answer, fleet_empty_buckets=True)
    assert done.returncode == 2
    # What would go is shown first.
    assert "s3 bucket 1 chromafleet-demo-123456789012-us-east-1" in said(done)
    assert said(done).index("s3 bucket 1") < said(done).index(sentence)
    assert aws.writes() == []


def test_a_check_run_shows_what_would_go_and_asks_nothing(destroy, aws, bucket):
    done = destroy("--check", fleet_empty_buckets=True)
    assert done.returncode == 0, done.stdout
    assert f"s3 bucket 1 {bucket}" in said(done)
    assert "Ask for the name" not in done.stdout
    assert aws.writes() == []
