"""What modules share: comparing, tagging, removing, and how they end when AWS refuses a call."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.ensure import (
    described,
    differences,
    remove,
    set_tags,
    wanted_tags,
)
from botocore.exceptions import ClientError, EndpointConnectionError

DIFFERENCES = {
    "the same": ({"a": 1, "b": 2}, {"a": 1}, {}, {}),
    "one differs": ({"a": 1, "b": 2}, {"a": 3, "b": 2}, {"a": 1}, {"a": 3}),
    "nothing found": ({}, {"a": 1, "b": {}}, {}, {"a": 1, "b": {}}),
    "None is as good as missing": ({}, {"a": None}, {}, {}),
    "None where there is one": ({"a": 1}, {"a": None}, {"a": 1}, {"a": None}),
    "false is something": ({}, {"a": False}, {}, {"a": False}),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_differences(case):
    found, wanted, before, after = DIFFERENCES[case]
    assert differences(found, wanted) == {"changed": bool(after), "diff": {"before": before, "after": after}}


@pytest.mark.parametrize(("found", "check", "deleted"), [({"a": 1}, False, 1), ({"a": 1}, True, 0), ({}, False, 0)])
def test_what_is_there_is_removed_but_not_in_check_mode(found, check, deleted):
    calls = []
    result = remove(SimpleNamespace(check_mode=check), found, lambda: calls.append("delete"))
    assert result == {"changed": bool(found), "diff": {"before": found, "after": {}}}
    assert len(calls) == deleted


def test_nothing_is_not_removed():
    assert remove(SimpleNamespace(check_mode=False), None, pytest.fail)["diff"] == {"before": {}, "after": {}}


FOUND = {"aws:by": "aws", "old": "1", "same": "2"}
TAGS = {
    "not given": (None, True, FOUND),
    "none at all": ({}, True, {"aws:by": "aws"}),
    "these": ({"same": "2", "new": "3"}, True, {"aws:by": "aws", "same": "2", "new": "3"}),
    "these and others": ({"old": "0", "new": "3"}, False, {**FOUND, "old": "0", "new": "3"}),
    "a number": ({"same": 2}, False, FOUND),
}


@pytest.mark.parametrize("case", TAGS)
def test_wanted_tags(case):
    tags, purge, wanted = TAGS[case]
    assert wanted_tags(FOUND, {"tags": tags, "purge_tags": purge}) == wanted


def test_tags_are_removed_before_others_are_set():
    calls = []
    both = tuple(lambda name=name, **arguments: calls.append((name, arguments)) for name in ("untag", "tag"))
    set_tags(both, {"ResourceARN": "arn"}, FOUND, {"same": "2", "new": "3"})
    common = {"aws_retry": True, "ResourceARN": "arn"}
    assert calls == [
        ("untag", {**common, "TagKeys": ["old"]}),
        ("tag", {**common, "Tags": [{"Key": "new", "Value": "3"}]}),
    ]


def test_tags_as_wanted_make_no_call():
    set_tags((pytest.fail, pytest.fail), {}, FOUND, dict(FOUND))


def test_described():
    assert described(None) == {}
    resource = {"FlowLogId": "fl-1", "Tags": [{"Key": "chromafleet:fleet", "Value": "demo"}]}
    assert described(resource) == {"flow_log_id": "fl-1", "tags": {"chromafleet:fleet": "demo"}}
    assert described({"FlowLogId": "fl-1"})["tags"] == {}


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "DescribeVpcs"),
        EndpointConnectionError(endpoint_url="https://nowhere"),
    ],
)
def test_an_error_of_aws_ends_the_module_with_what_could_not_be_done(error):
    ends = []
    module = SimpleNamespace(fail_json_aws=lambda error, msg: ends.append((error, msg)))
    with aws_errors(module, "Can't look"):
        raise error
    assert ends == [(error, "Can't look")]


def test_another_error_is_a_fault_of_the_program():
    with pytest.raises(KeyError), aws_errors(SimpleNamespace(fail_json_aws=pytest.fail), "Can't look"):
        raise KeyError
