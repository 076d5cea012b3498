"""Every policy that the roles give to AWS, with the values of a fleet `demo`."""

from __future__ import annotations

import json

import yaml
from ansible_runs import ROOT
from jinja2 import Environment, StrictUndefined

ACCOUNT, REGION = "123456789012", "us-east-1"
HERE = f"{REGION}:{ACCOUNT}"
KEY = f"arn:aws:kms:{HERE}:key/11111111-2222-3333-4444-555555555555"
BUCKET = f"chromafleet-demo-{ACCOUNT}-{REGION}"
BOOT = f"{BUCKET}-boot"
SECRETS = [f"chromafleet/demo/{name}" for name in ("tokens", "cache", "snapshots")]
MARK = "2012-10-17"
#: What the roles' variables hold.
VALUES = {
    "aws_identity_account_id": ACCOUNT,
    "aws_identity_boot_bucket": BOOT,
    "aws_identity_bucket": BUCKET,
    "aws_identity_fleet": "demo",
    "aws_identity_kms_key_arn": "",
    "aws_identity_log_group_prefix": "/chromafleet/demo/",
    "aws_identity_metric_namespace": "ChromaFleet",
    "aws_identity_partition": "aws",
    "aws_identity_region": REGION,
    "aws_identity_repository_prefix": "chromafleet/demo/",
    "aws_identity_secrets": SECRETS,
    "aws_identity_ssm": True,
    "aws_identity_traces": False,
    "aws_network_account_id": ACCOUNT,
    "aws_network_partition": "aws",
    "aws_network_region": REGION,
    "__aws_network_log_group": "/chromafleet/demo/vpc",
    "__aws_observability_alarm_arn": f"arn:aws:cloudwatch:{HERE}:alarm:",
    "__aws_observability_topic_arn": f"arn:aws:sns:{HERE}:demo-main-alarms",
    "aws_observability_account_id": ACCOUNT,
    "aws_observability_name": "demo-main",
    "aws_storage_access_logs_name": f"{BUCKET}-logs",
    "aws_storage_account_id": ACCOUNT,
    "aws_storage_bucket": BUCKET,
    "aws_storage_partition": "aws",
}
#: Templates that are more than one policy.
VARIANTS = {
    "aws_storage/templates/policy.json.j2": [{"bucket": BUCKET}, {"bucket": BOOT}],
    "aws_identity/templates/host.yml.j2": [
        {"role": role, "aws_identity_kms_key_arn": key} for role in ("writer", "reader") for key in ("", KEY)
    ]
    + [{"role": "reader", "aws_identity_traces": "true"}],
}
# As Ansible sets it up for templates.
JINJA = Environment(trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)  # noqa: S701 (no HTML)


def rendered(template, **own):
    """A policy's document; a value that isn't among VALUES is an error."""
    text = (ROOT / "roles" / template).read_text()
    return yaml.safe_load(JINJA.from_string(text).render(VALUES | own))


def host(role, key="", *, traces=False):
    """What a host may do."""
    own = {"role": role, "aws_identity_kms_key_arn": key, "aws_identity_traces": traces}
    return rendered("aws_identity/templates/host.yml.j2", **own)


def policies():
    """All of them: where it comes from -> document."""
    found = {}
    for path in sorted((ROOT / "roles").glob("*/templates/*")):
        name = str(path.relative_to(ROOT / "roles"))
        if MARK in path.read_text():
            for own in VARIANTS.get(name, [{}]):
                found[" ".join([name, *filter(None, own.values())])] = rendered(name, **own)
    for path in sorted((ROOT / "roles").glob("*/vars/**/*.yml")):
        for name, value in (yaml.safe_load(path.read_text()) or {}).items():
            for where, document in _within(value, f"{path.relative_to(ROOT / 'roles')} {name}"):
                found[where] = json.loads(JINJA.from_string(json.dumps(document)).render(VALUES))
    return found


def _within(value, where):
    """Policies that are written out in a variable."""
    if isinstance(value, dict) and value.get("Version") == MARK:
        yield where, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _within(part, f"{where}.{key}")
