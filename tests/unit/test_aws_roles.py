"""What the `aws_*` roles refuse before they call AWS, and what they derive without it."""

from __future__ import annotations

import json
import re

import pytest

LOAD_BALANCER = {
    "aws_load_balancer_name": "production",
    "aws_load_balancer_cell_name": "production-main",
    "aws_load_balancer_vpc_id": "vpc-1",
    "aws_load_balancer_subnet_ids": ["subnet-1", "subnet-2"],
    "aws_load_balancer_security_group_id": "sg-1",
    "aws_load_balancer_endpoint": "chroma.example.com",
    "aws_load_balancer_reader_endpoint": "read.chroma.example.com",
}
FLEET = {
    "aws_fleet_name": "production",
    "aws_fleet_cell": "main",
    "aws_fleet_tags": {"chromafleet:fleet": "production", "chromafleet:cell": "main"},
    "aws_fleet_subnets": [{"id": "subnet-1", "availability_zone": "eu-central-1a"}],
    "aws_fleet_security_group_id": "sg-1",
    "aws_fleet_writer_target_group_arn": "arn:writer",
    "aws_fleet_reader_target_group_arn": "arn:reader",
}
SECRETS = {"aws_secrets_tokens_name": "tokens", "aws_secrets_cache_name": "cache"}
TOKEN = {"name": "admin", "scope": "admin"}

CASES = {
    "no certificate": (
        "aws_load_balancer",
        LOAD_BALANCER,
        (
            "The HTTPS listener has no certificate: set aws_load_balancer_certificate_arn to an ACM certificate for "
            "chroma.example.com and read.chroma.example.com, or aws_load_balancer_certificate_file and "
            "aws_load_balancer_certificate_key_file to PEM files that shall be imported."
        ),
    ),
    "name too long": (
        "aws_load_balancer",
        {**LOAD_BALANCER, "aws_load_balancer_cell_name": "production-of-the-search-team"},
        (
            'aws_load_balancer_cell_name makes the name "production-of-the-search-team-writer" (36 characters), '
            "but AWS allows at most 32 letters, digits and inner hyphens: choose a shorter one."
        ),
    ),
    "more readers than the most": (
        "aws_fleet",
        {**FLEET, "aws_fleet_readers_min": 3, "aws_fleet_readers_max": 2},
        (
            "aws_fleet_readers_min <= aws_fleet_readers_desired <= aws_fleet_readers_max must hold, but they are "
            "3, 3 and 2."
        ),
    ),
    "tags of another cell": (
        "aws_fleet",
        {**FLEET, "aws_fleet_tags": {"chromafleet:fleet": "production"}},
        (
            "aws_fleet_tags must hold chromafleet:fleet: production and chromafleet:cell: main, by which the cell's "
            'resources are found again, but is {"chromafleet:fleet": "production"}.'
        ),
    ),
    "one name twice": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_tokens": [TOKEN, TOKEN]},
        "aws_secrets_tokens must list at least one token and each name once, but its names are: admin, admin.",
    ),
    "unknown scope": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_tokens": [{**TOKEN, "scope": "root"}]},
        "value of scope must be one of: read, write, admin, got: root found in aws_secrets_tokens",
    ),
}
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    # Nothing answers there: a call to AWS would fail with another sentence.
    group/amazon.aws.aws: &nowhere
      {endpoint_url: "http://127.0.0.1:9", access_key: local, secret_key: local, region: us-east-1}
    group/community.aws.aws: *nowhere
  tasks:
    - ansible.builtin.include_role: {name: "chromafleet.aws.{{ role }}"}
"""


def flat(text):
    """Text without line ends and quotes, which depend on where Ansible prints it."""
    return " ".join(re.sub(r"""['"\\]""", "", text).split())


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_sentence(play, case):
    role, variables, sentence = CASES[case]
    done = play(PLAY, "-e", json.dumps({"role": role, **variables}))
    assert done.returncode == 2
    assert flat(sentence) in flat(done.stdout + done.stderr)
    assert "changed=0" in done.stdout
