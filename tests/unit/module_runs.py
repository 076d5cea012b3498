"""Runs modules of the collection in this process: in an empty account, or on a service with recorded answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import import_module

import boto3
import pytest
from ansible.module_utils.testing import patch_module_args
from botocore.stub import Stubber
from moto import mock_aws

REGION = "us-east-1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def auto_scaling_group(name, **properties):
    """What AWS says of a group at least."""
    return {
        "AutoScalingGroupName": name,
        "MinSize": 1,
        "MaxSize": 2,
        "DesiredCapacity": 1,
        "DefaultCooldown": 300,
        "AvailabilityZones": ["us-east-1a"],
        "HealthCheckType": "ELB",
        "CreatedTime": NOW,
        **properties,
    }


def client(service):
    """A client of the test's own."""
    return boto3.client(service, region_name=REGION, aws_access_key_id="local", aws_secret_access_key="local")


@pytest.fixture
def run_module(capsys, monkeypatch):
    """Run a module with some arguments, without its pauses, and return its result."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def run(module, /, *, check=False, **arguments):
        main = import_module(f"ansible_collections.chromafleet.aws.plugins.modules.{module}").main
        connection = {"region": REGION, "access_key": "local", "secret_key": "local"}
        with patch_module_args({**connection, **arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            main()
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def empty_account():
    """An account of moto's: makes its clients."""
    with mock_aws():
        yield client


@pytest.fixture
def record(monkeypatch):
    """Let a service give recorded answers to a module: its Stubber, which checks each call against the API's model.

    All answers must be asked for, and no other service.
    """
    # Late, because a collection can be imported only once Ansible's loader is there.
    from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
    from ansible_collections.amazon.aws.plugins.module_utils.retries import RetryingBotoClientWrapper

    stubs = {}

    def stub_of(service):
        stubs[service] = Stubber(client(service))
        stubs[service].activate()
        return stubs[service]

    def connect(_module, service, retry_decorator=None, **_more):
        return RetryingBotoClientWrapper(stubs[service].client, retry_decorator)

    monkeypatch.setattr(AnsibleAWSModule, "client", connect)
    yield stub_of
    for stub in stubs.values():
        stub.assert_no_pending_responses()
