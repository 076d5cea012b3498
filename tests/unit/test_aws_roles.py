"""What the `aws_*` roles refuse before they call AWS, and what they derive without it."""

from __future__ import annotations

import json
import re

import pytest
from ansible_runs import ROOT

ROLES = ROOT / "roles"
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
FLEET = {
    "aws_fleet_name": "production",
    "aws_fleet_cell": "main",
    "aws_fleet_tags": {"chromafleet:fleet": "production", "chromafleet:cell": "main"},
    "aws_fleet_subnets": [{"id": "subnet-1", "availability_zone": "eu-central-1a"}],
    "aws_fleet_security_group_id": "sg-1",
    "aws_fleet_instance_profile": "arn:aws:iam::123456789012:instance-profile/production-node",
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
            "The HTTPS listener has no certificate, and none can be requested, because no public hosted zone of Route 53 "
            "in this account covers chroma.example.com and read.chroma.example.com: make a zone for the domain and let "
            "its registrar delegate to it, or set aws_load_balancer_certificate_arn to an ACM certificate for "
            "chroma.example.com and read.chroma.example.com, or aws_load_balancer_certificate_file and "
            "aws_load_balancer_certificate_key_file to PEM files that shall be imported."
        ),
    ),
    "name too long": (
        "aws_load_balancer",
        {**LOAD_BALANCER, "aws_load_balancer_cells": [{"name": "main"}, {"name": "of-the-search-team"}]},
        (
            "aws_load_balancer_name and the cells' names in aws_load_balancer_cells make the target group's name "
            '"production-of-the-search-team-writer" (36 characters), but AWS allows at most 32 letters, digits and inner '
            "hyphens: choose shorter ones."
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


POLICY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    aws_identity_partition: aws
    aws_identity_region: eu-central-1
    aws_identity_account_id: "123456789012"
    aws_identity_bucket: chromafleet-production
    aws_identity_secret_prefix: chromafleet/production/
    aws_identity_log_group_prefix: /chromafleet/production/
    aws_identity_repository_prefix: chromafleet/production/
    aws_identity_metric_namespace: ChromaFleet
    aws_storage_partition: aws
    aws_storage_bucket: chromafleet-production
  tasks:
    - ansible.builtin.copy:
        dest: "{{ result }}"
        content: "{{ lookup('ansible.builtin.template', template) }}"
"""


@pytest.fixture
def render(play, tmp_path):
    def run(template):
        extra = {"template": f"{ROLES}/{template}", "result": str(tmp_path / "policy.json")}
        done = play(POLICY, "-e", json.dumps(extra))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((tmp_path / "policy.json").read_text())["Statement"]

    return run


def test_nodes_may_touch_only_what_the_fleet_owns(render):
    statements = {statement["Sid"]: statement for statement in render("aws_identity/templates/policy.json.j2")}
    everywhere = {sid for sid, statement in statements.items() if statement["Resource"] == "*"}
    # These two calls take no resource; the namespace narrows the first.
    assert everywhere == {"OwnMetrics", "RegistryLogin"}
    assert statements["OwnMetrics"]["Condition"] == {"StringEquals": {"cloudwatch:namespace": "ChromaFleet"}}
    assert statements["RegistryLogin"]["Action"] == "ecr:GetAuthorizationToken"
    for sid, statement in statements.items():
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [action for action in actions if "*" in action], sid
        assert sid in everywhere or "production" in statement["Resource"], sid


def test_the_bucket_refuses_plain_http(render):
    (statement,) = render("aws_storage/templates/policy.json.j2")
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == ["arn:aws:s3:::chromafleet-production", "arn:aws:s3:::chromafleet-production/*"]
