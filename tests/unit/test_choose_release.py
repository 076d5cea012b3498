"""Which release a rollback goes to, and what it says where there is none."""

from __future__ import annotations

import json

import boto3
import pytest
import yaml

FLEETS = {"young": ["a"], "old": ["a", "b", "c", "b"]}


@pytest.fixture(scope="module")
def account(moto_api):
    """Fleets with the digests of their releases, in the order in which they were released."""
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    ssm = boto3.client("ssm", endpoint_url=moto_api, region_name="us-east-1", **keys)
    for fleet, digests in FLEETS.items():
        for number, digest in enumerate(digests, 1):
            record = {"version": f"v{number}", "digest": digest, "images": {"chroma": f"r/chroma@sha256:{digest * 64}"}}
            name = f"/chromafleet/{fleet}/main/release"
            ssm.put_parameter(Name=name, Type="String", Value=json.dumps(record), Overwrite=number > 1)
    return moto_api


@pytest.fixture
def choose(play, account):
    def run(fleet, wanted):
        connection = {"endpoint_url": account, "access_key": "local", "secret_key": "local"}
        role = {"name": "chromafleet.aws.fleet", "tasks_from": "choose_release"}
        text = {
            "hosts": "localhost",
            "gather_facts": False,
            "connection": "local",
            "module_defaults": {"group/chromafleet.aws.aws": connection},
            "environment": {"AWS_REGION": "us-east-1"},
            "vars": {"fleet_name": fleet, "fleet_release_wanted": wanted},
            "tasks": [
                {"ansible.builtin.include_role": role},
                {"ansible.builtin.debug": {"msg": "chosen: {{ fleet_release.number }} {{ fleet_release.version }}"}},
            ],
        }
        done = play(yaml.safe_dump([text]), inventory="localhost,")
        return done.returncode, " ".join(done.stdout.split())

    return run


@pytest.mark.parametrize(("wanted", "number"), [("previous", 3), ("1", 1)])
def test_an_earlier_one_is_chosen(choose, wanted, number):
    code, said = choose("old", wanted)
    assert code == 0, said
    assert f"chosen: {number} v{number}" in said
    assert "Releases of old, the present one first:" in said


@pytest.mark.parametrize(
    ("fleet", "wanted", "sentence"),
    [
        ("old", "", 'release is "", but previous or one of the numbers 3, 1 is expected'),
        ("old", "4", 'release is "4", but previous or one of the numbers 3, 1 is expected'),
        ("young", "previous", "The fleet young has no earlier release to go back to: its first site.yml made"),
        ("none", "previous", "The fleet none has no earlier release to go back to"),
    ],
)
def test_what_can_not_be_chosen_is_one_sentence(choose, fleet, wanted, sentence):
    code, said = choose(fleet, wanted)
    assert code != 0
    assert sentence in said
