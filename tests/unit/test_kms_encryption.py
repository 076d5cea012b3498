"""The module `kms_encryption`, run in this process against recorded answers."""

from __future__ import annotations

import pytest
from module_runs import REGION

GROUP = "/chromafleet/production/main/nginx"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:production-main-alarms"
KEY = f"arn:aws:kms:{REGION}:123456789012:key/one"
OTHER = f"arn:aws:kms:{REGION}:123456789012:key/other"


@pytest.fixture
def run(run_module, record):
    """Run the module on a service that answers with what is recorded."""

    def call(service, *answers, **arguments):
        stub = record(service)
        for operation, answer, asked in answers:
            stub.add_response(operation, answer, asked)
        result = run_module("kms_encryption", **arguments)
        stub.assert_no_pending_responses()
        return result

    return call


def group(key=None):
    found = {"logGroupName": GROUP} | ({"kmsKeyId": key} if key else {})
    answer = {"logGroups": [{"logGroupName": f"{GROUP}-old", "kmsKeyId": "x"}, found]}
    return "describe_log_groups", answer, {"logGroupNamePrefix": GROUP}


def topic(key=None):
    return "get_topic_attributes", {"Attributes": {"KmsMasterKeyId": key} if key else {}}, {"TopicArn": TOPIC}


def set_topic(key):
    asked = {"TopicArn": TOPIC, "AttributeName": "KmsMasterKeyId", "AttributeValue": key}
    return "set_topic_attributes", {}, asked


ON = ("associate_kms_key", {}, {"logGroupName": GROUP, "kmsKeyId": KEY})
OFF = ("disassociate_kms_key", {}, {"logGroupName": GROUP})
CASES = {
    "a group's first key": ("logs", {"log_group": GROUP}, KEY, [group(), ON], True),
    "a group's other key": ("logs", {"log_group": GROUP}, KEY, [group(OTHER), ON], True),
    "a group's key stays": ("logs", {"log_group": GROUP}, KEY, [group(KEY)], False),
    "a group's key goes": ("logs", {"log_group": GROUP}, "", [group(KEY), OFF], True),
    "a group without key": ("logs", {"log_group": GROUP}, "", [group()], False),
    "a topic's first key": ("sns", {"topic_arn": TOPIC}, KEY, [topic(), set_topic(KEY)], True),
    "a topic's key stays": ("sns", {"topic_arn": TOPIC}, KEY, [topic(KEY)], False),
    "a topic's key goes": ("sns", {"topic_arn": TOPIC}, "", [topic(KEY), set_topic("")], True),
}


@pytest.mark.parametrize("case", CASES)
def test_sets_what_differs(run, case):
    service, which, key, answers, changed = CASES[case]
    result = run(service, *answers, kms_key_arn=key, **which)
    assert result["changed"] is changed
    assert result["kms_key_arn"] == key


@pytest.mark.parametrize(
    ("service", "which", "found"), [("logs", {"log_group": GROUP}, group()), ("sns", {"topic_arn": TOPIC}, topic())]
)
def test_check_mode_only_reads(run, service, which, found):
    result = run(service, found, check=True, kms_key_arn=KEY, **which)
    assert result["changed"]
    assert result["diff"] == {"before": {"kms_key_arn": ""}, "after": {"kms_key_arn": KEY}}


def test_a_group_that_is_not_there(run):
    result = run("logs", ("describe_log_groups", {"logGroups": []}, None), log_group=GROUP, kms_key_arn=KEY)
    assert result["msg"] == f"There is no log group {GROUP}: make it first."


def test_one_resource_at_a_time(run):
    assert run("logs", kms_key_arn=KEY)["msg"] == "one of the following is required: log_group, topic_arn"
    both = run("logs", kms_key_arn=KEY, log_group=GROUP, topic_arn=TOPIC)
    assert both["msg"] == "parameters are mutually exclusive: log_group|topic_arn"
