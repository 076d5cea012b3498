"""The module `resource_tags`, run in this process against moto and against recorded answers."""

from __future__ import annotations

from functools import partial

import pytest

FLEET = {"chromafleet:fleet": "production"}


@pytest.fixture
def run(run_module):
    """Run the module with some arguments and return its result."""
    return partial(run_module, "resource_tags")


@pytest.fixture
def secret(empty_account):
    """The ARN of a resource with the tag `team`, and how to read its tags."""
    client = empty_account("secretsmanager")
    arn = client.create_secret(Name="x", SecretString="x", Tags=[{"Key": "team", "Value": "search"}])["ARN"]

    def tags():
        return {tag["Key"]: tag["Value"] for tag in client.describe_secret(SecretId=arn)["Tags"]}

    return arn, tags


def test_sets_and_removes_once(run, secret):
    arn, tags = secret
    result = run(arn=arn, tags=FLEET)
    assert result["changed"]
    assert result["diff"] == {"before": {"team": "search"}, "after": FLEET}
    assert tags() == result["tags"] == FLEET
    assert not run(arn=arn, tags=FLEET)["changed"]


def test_leaves_other_tags_without_purge(run, secret):
    arn, tags = secret
    assert run(arn=arn, tags=FLEET, purge_tags=False)["changed"]
    assert tags() == {"team": "search", **FLEET}
    assert not run(arn=arn, tags=FLEET, purge_tags=False)["changed"]


def test_check_mode_changes_nothing(run, secret):
    arn, tags = secret
    result = run(check=True, arn=arn, tags=FLEET)
    assert result["changed"]
    assert result["tags"] == FLEET
    assert tags() == {"team": "search"}


@pytest.fixture
def recorded(record):
    """An account that gives recorded answers."""
    return record("resourcegroupstaggingapi")


def test_error_within_a_good_answer_is_an_error(run, recorded):
    arn = "arn:aws:ecr:us-east-1:123456789012:repository/x"
    failure = {"StatusCode": 403, "ErrorCode": "AccessDeniedException", "ErrorMessage": "ecr:TagResource is missing"}
    recorded.add_response("get_resources", {"ResourceTagMappingList": []}, {"ResourceARNList": [arn]})
    recorded.add_response("tag_resources", {"FailedResourcesMap": {arn: failure}})
    result = run(arn=arn, tags=FLEET)
    assert result["failed"]
    assert result["msg"] == f"Can't tag {arn}: ecr:TagResource is missing (AccessDeniedException)"


def test_refused_call(run, recorded):
    recorded.add_client_error("get_resources", "AccessDenied", "not you")
    assert "not you" in run(arn="arn:aws:ecr:us-east-1:123456789012:repository/x", tags=FLEET)["msg"]
