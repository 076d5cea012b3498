"""The layer identity: what `fleet_info` tells of it, and what the role does about it, through a fleet's life."""

from __future__ import annotations

import yaml

ACCOUNT = "123456789012"
OPTIONS = {
    "aws_identity_fleet": "demo",
    "aws_identity_region": "us-east-1",
    "aws_identity_account_id": ACCOUNT,
    "aws_identity_bucket": "chromafleet-demo",
    "aws_identity_secrets": ["chromafleet/demo/tokens", "chromafleet/demo/cache"],
    "aws_identity_log_group_prefix": "/chromafleet/demo/",
    "aws_identity_repository_prefix": "chromafleet/demo/",
    "aws_identity_tags": {"chromafleet:fleet": "demo"},
}
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
WRITER, READER = "demo-us-east-1-writer", "demo-us-east-1-reader"
NOTHING = {"roles": {}, "role_policies": {}, "instance_profiles": {}, "kms_keys": {}}
MODULES = ("iam_role", "iam_policy", "iam_instance_profile", "kms_key", "kms_alias")
"""Those that write."""


def play_of(tasks, connection):
    """A playbook on this machine."""
    defaults = {f"group/{name}.aws": connection for name in ("amazon.aws", "chromafleet.aws")}
    head = {"hosts": "localhost", "connection": "local", "gather_facts": False, "module_defaults": defaults}
    return yaml.safe_dump([{**head, "environment": {"AWS_REGION": "us-east-1"}, "vars": OPTIONS, "tasks": tasks}])
