"""What the `aws_*` roles refuse before they call AWS, and what they derive without it."""

from __future__ import annotations

import json
import re

import pytest

LOAD_BALANCER = {
    "aws_load_balancer_name": "production",
    "aws_load_balancer_cells": [{"name": "main"}],
    "aws_load_balancer_vpc_id": "vpc-1",
    "aws_load_balancer_subnet_ids": ["subnet-1", "subnet-2"],
    "aws_load_balancer_security_group_id": "sg-1",
    "aws_load_balancer_endpoint": "chroma.example.com",
    "aws_load_balancer_reader_endpoint": "read.chroma.example.com",
    "aws_load_balancer_found": {"hosted_zones": {}, "certificates": {}, "load_balancers": {}},
}
SECRETS = {
    "aws_secrets_tokens_name": "tokens",
    "aws_secrets_cache_name": "cache",
    "aws_secrets_snapshots_name": "snapshots",
    "aws_secrets_found": {"secrets": {}, "recoverable": {}},
}
TOKEN = {"name": "admin", "scope": "admin"}
STORAGE = {
    "aws_storage_bucket": "chromafleet-production",
    "aws_storage_account_id": "123456789012",
    "aws_storage_found": {"buckets": {}, "lifecycle_rules": {}},
}

CASES = {
    "no certificate": (
        "aws_load_balancer",
        LOAD_BALANCER,
        (
            "The HTTPS listener has no certificate, and none can be requested, because no public hosted zone of Route "
            "53 in this account covers chroma.example.com and read.chroma.example.com: make a zone for the domain and "
            "let its registrar delegate to it, or set aws_load_balancer_certificate_arn to an ACM certificate for "
            "chroma.example.com and read.chroma.example.com, or aws_load_balancer_certificate_file and "
            "aws_load_balancer_certificate_key_file to PEM files that shall be imported."
        ),
    ),
    "name too long": (
        "aws_load_balancer",
        {**LOAD_BALANCER, "aws_load_balancer_cells": [{"name": "main"}, {"name": "of-the-search-team"}]},
        (
            "aws_load_balancer_name and the cells' names in aws_load_balancer_cells make the target group's name "
            '"production-of-the-search-team-writer" (36 characters), but AWS allows at most 32 letters, digits and '
            "inner hyphens: choose shorter ones."
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
    "no token": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_tokens": []},
        "aws_secrets_tokens must list at least one token and each name once, but its names are: none.",
    ),
    "name of a token": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_tokens": [{**TOKEN, "name": "the admin"}]},
        'aws_secrets_tokens has the name "the admin" (9 characters), but a token is named in logs and commands',
    ),
    "long name of a token": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_tokens": [{**TOKEN, "name": "a" * 64}]},
        f'aws_secrets_tokens has the name "{"a" * 64}" (64 characters)',
    ),
    "tenant": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_tokens": [{**TOKEN, "tenants": ["acme", "no/tenant"]}]},
        'aws_secrets_tokens: admin has the tenants ["acme", "no/tenant"], but needs at least one, each with 3 to 512',
    ),
    "no tenants": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_tokens": [{**TOKEN, "tenants": []}]},
        "aws_secrets_tokens: admin has the tenants [], but needs at least one",
    ),
    "name of a secret": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_cache_name": "the cache"},
        'The secret\'s name "the cache" has 9 characters; Secrets Manager allows 512, letters, digits and /_+=.@- only',
    ),
    "long name of a secret": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_cache_name": "c" * 513},
        "has 513 characters; Secrets Manager allows 512",
    ),
    "key of the secrets": (
        "aws_secrets",
        {**SECRETS, "aws_secrets_kms_key_arn": "alias/mine"},
        'aws_secrets_kms_key_arn is "alias/mine", but must be the ARN of a KMS key',
    ),
    "long name of a bucket": (
        "aws_storage",
        {**STORAGE, "aws_storage_bucket": "b" * 60},
        f'The bucket\'s name "{"b" * 60}-logs" has 65 characters, but S3 allows 3 to 63',
    ),
    "name of a bucket": (
        "aws_storage",
        {**STORAGE, "aws_storage_bucket": "Snapshots"},
        'The bucket\'s name "Snapshots" has 9 characters, but S3 allows 3 to 63: lower-case letters',
    ),
    "key of the bucket": (
        "aws_storage",
        {**STORAGE, "aws_storage_kms_key_arn": "1234"},
        'aws_storage_kms_key_arn is "1234", but must be the ARN of a KMS key',
    ),
    "days": (
        "aws_storage",
        {**STORAGE, "aws_storage_access_logs_days": 0},
        "aws_storage_noncurrent_days is 30 and aws_storage_access_logs_days is 0, but S3 expires after 1 day",
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
