"""The lookup `ecr_authorization_token`."""

from __future__ import annotations

import base64
import datetime
import json

import pytest
from ansible.errors import AnsibleLookupError
from ansible_collections.chromafleet.aws.plugins.lookup import ecr_authorization_token as lookup

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        dest: "{{ result }}"
        content: "{{ lookup('chromafleet.aws.ecr_authorization_token', **connection) | to_json }}"
"""


def authorization(text):
    return {
        "authorizationToken": base64.b64encode(text.encode()).decode(),
        "proxyEndpoint": "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        "expiresAt": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    }


def test_decodes():
    assert lookup.decode(authorization("AWS:pass:word")) == {
        "username": "AWS",
        "password": "pass:word",
        "registry": "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        "expires_at": "2026-01-02T00:00:00+00:00",
    }


def test_strange_token_is_not_printed():
    with pytest.raises(AnsibleLookupError) as error:
        lookup.decode(authorization("secret-without-colon"))
    assert "secret" not in str(error.value)


def test_takes_its_connection_as_options(play, tmp_path, moto_api):
    connection = {"endpoint_url": moto_api, "access_key": "local", "secret_key": "local", "region": "eu-central-1"}
    extra = {"connection": connection, "result": str(tmp_path / "login.json")}
    done = play(PLAY, "-e", json.dumps(extra))
    assert done.returncode == 0, done.stdout + done.stderr
    login = json.loads((tmp_path / "login.json").read_text())
    assert login["registry"] == "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    assert (login["username"], login["password"]) == ("AWS", "123456789012-auth-token")


def test_failure_is_one_sentence(play):
    connection = {"endpoint_url": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b", "region": "eu-central-1"}
    done = play(PLAY, "-e", json.dumps({"connection": connection, "result": "/dev/null"}))
    assert done.returncode != 0
    assert "Failed to get an ECR authorization token" in done.stdout + done.stderr
