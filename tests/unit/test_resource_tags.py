"""The module `resource_tags`, run in this process against moto and against recorded answers."""

from __future__ import annotations

import importlib.util
import json

import boto3
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import RetryingBotoClientWrapper
from ansible_runs import ROOT
from botocore.stub import Stubber
from moto import mock_aws

REGION = "us-east-1"
FLEET = {"chromafleet:fleet": "production"}


@pytest.fixture(scope="module")
def module():
    """The module's code."""
    spec = importlib.util.spec_from_file_location("resource_tags", ROOT / "plugins/modules/resource_tags.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def run(module, capsys):
    """Run the module with some arguments and return its result."""

    def call(check=False, **arguments):
        connection = {"region": REGION, "access_key": "local", "secret_key": "local"}
        with patch_module_args({**connection, **arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def secret():
    """The ARN of a resource with the tag `team`, and how to read its tags."""
    with mock_aws():
        client = boto3.client("secretsmanager", region_name=REGION)
        arn = client.create_secret(Name="x", SecretString="x", Tags=[{"Key": "team", "Value": "search"}])["ARN"]

        def tags():
            return {tag["Key"]: tag["Value"] for tag in client.describe_secret(SecretId=arn)["Tags"]}

        yield arn, tags


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
def recorded(monkeypatch):
    """A tagging API that gives recorded answers."""
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    client = boto3.client("resourcegroupstaggingapi", region_name=REGION, **keys)
    monkeypatch.setattr(
        AnsibleAWSModule,
        "client",
        lambda self, service, retry_decorator: RetryingBotoClientWrapper(client, retry_decorator),
    )
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


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
