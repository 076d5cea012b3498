"""The layer identity through a fleet's life, what it refuses, and the module that it brings."""

from __future__ import annotations

import json
from functools import partial

import pytest
import yaml
from ansible_runs import run_ansible
from layer_runs import run_layer
from policies import ACCOUNT, VALUES, host

OPTIONS = {name: value for name, value in VALUES.items() if name.startswith("aws_identity_")} | {
    "aws_identity_tags": {"chromafleet:fleet": "demo"},
}
del OPTIONS["aws_identity_kms_key_arn"]
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
WRITER, READER = "demo-us-east-1-writer", "demo-us-east-1-reader"
ALIAS = "alias/chromafleet/demo"


@pytest.fixture
def identity(aws):
    """Run the role's entry points."""

    def run(*steps, check=False, **more):
        return run_layer(aws, "identity", {**OPTIONS, **more}, *steps, check=check)

    return run


def aliases(kms):
    """Alias of the fleet -> key."""
    return {
        row["AliasName"]: row.get("TargetKeyId") for row in kms.list_aliases()["Aliases"] if "demo" in row["AliasName"]
    }


@pytest.mark.long
def test_a_fleets_life(aws, identity):
    iam, kms = aws.client("iam"), aws.client("kms")
    own_key = {"aws_identity_kms_key": "customer"}
    planned = identity(check=True, **own_key)
    assert planned.plan == [
        "create KMS key chromafleet/demo",
        "create IAM role demo-us-east-1-reader",
        "create IAM role demo-us-east-1-writer",
        "create IAM role policy demo-us-east-1-reader/fleet",
        "create IAM role policy demo-us-east-1-writer/fleet",
        "create IAM instance profile demo-us-east-1-reader",
        "create IAM instance profile demo-us-east-1-writer",
    ]
    assert planned.writes == []
    made = identity(**own_key)
    assert made.code == 0, made.output
    (first,) = aliases(kms).values()
    key = kms.describe_key(KeyId=first)["KeyMetadata"]["Arn"]
    assert kms.get_key_rotation_status(KeyId=first)["KeyRotationEnabled"]
    for name, role in ((WRITER, "writer"), (READER, "reader")):
        profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        assert [one["RoleName"] for one in profile["Roles"]] == [name]
        assert iam.get_role_policy(RoleName=name, PolicyName="fleet")["PolicyDocument"] == host(role, key)

    # Behind the fleet's back: a permission more, another trust, a tag less, a role out of its profile, no alias.
    everything = json.dumps(host("writer") | {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
    iam.put_role_policy(RoleName=READER, PolicyName="by-hand", PolicyDocument=everything)
    iam.put_role_policy(RoleName=WRITER, PolicyName="fleet", PolicyDocument=everything)
    iam.attach_role_policy(RoleName=READER, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.remove_role_from_instance_profile(InstanceProfileName=READER, RoleName=READER)
    kms.delete_alias(AliasName=ALIAS)
    kms.disable_key_rotation(KeyId=first)
    drifted = identity(check=True, **own_key)
    assert [row.partition(":")[0] for row in drifted.plan] == [
        "change KMS key chromafleet/demo alias",
        "change IAM role demo-us-east-1-reader managed_policies",
        "change IAM role policy demo-us-east-1-writer/fleet document",
        "destroy IAM role policy demo-us-east-1-reader/by-hand",
        "change IAM instance profile demo-us-east-1-reader role",
    ]
    assert drifted.writes == []
    assert identity(**own_key).code == 0
    again = identity(**own_key)
    assert (again.changed, again.writes, again.plan) == (0, [], [])
    assert aliases(kms) == {ALIAS: first}

    # Away without the key, for the sake of the snapshots, then with it.
    assert identity("destroy", aws_identity_keep_key=True).code == 0
    assert aliases(kms) == {ALIAS: first}
    assert identity("destroy").code == 0
    destroyed = identity("destroy")
    assert (destroyed.changed, destroyed.writes) == (0, [])
    assert not [role for role in iam.list_roles()["Roles"] if "demo" in role["RoleName"]]
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert kms.describe_key(KeyId=first)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert aliases(kms) == {}
    # And back, with the same key: what is left of the fleet can be read with no other.
    # The alias is as a destroy that was stopped would leave it.
    kms.create_alias(AliasName=ALIAS, TargetKeyId=first)
    bounded = {"aws_identity_permissions_boundary": BOUNDARY, "aws_identity_path": "/teams/search/"}
    anew = identity(**own_key, **bounded)
    assert anew.code == 0, anew.output
    assert aliases(kms) == {ALIAS: first}
    assert kms.describe_key(KeyId=first)["KeyMetadata"]["KeyState"] == "Enabled"
    role = iam.get_role(RoleName=READER)["Role"]
    assert (role["Path"], role["PermissionsBoundary"]["PermissionsBoundaryArn"]) == ("/teams/search/", BOUNDARY)

    # The boundary goes, the path can't.
    refused = identity(**own_key)
    assert (refused.changed, refused.writes) == (0, [])
    assert f"but {WRITER}, {READER} exists in another path, and IAM moves nothing" in " ".join(refused.output.split())
    assert identity(aws_identity_path="/teams/search/").code == 0
    assert "PermissionsBoundary" not in iam.get_role(RoleName=READER)["Role"]
    # Data are encrypted with the key: it stays though it is not asked for any more.
    assert aliases(kms) == {ALIAS: first}


NOTHING = {"roles": {}, "role_policies": {}, "instance_profiles": {}, "kms_keys": {}, "recoverable_kms_keys": {}}
FAULTS = {
    "name": (
        {"aws_identity_fleet": "a" * 48},
        f'The role\'s name "{"a" * 48}-us-east-1-writer" has 65 characters, but IAM allows 64: shorten fleet_name.',
    ),
    "path": (
        {"aws_identity_path": "teams"},
        'aws_identity_path is "teams" (5 characters), but an IAM path begins and ends with a slash',
    ),
    "boundary": (
        {"aws_identity_permissions_boundary": "boundary"},
        'aws_identity_permissions_boundary is "boundary", which is no ARN of an IAM policy: write one such as',
    ),
    "managed policies": (
        {"aws_identity_managed_policies": ["ReadOnlyAccess"]},
        "aws_identity_managed_policies holds ReadOnlyAccess, which is no ARN of an IAM policy: write one such as",
    ),
    "key": (
        {"aws_identity_kms_key": "mine"},
        'aws_identity_kms_key is "mine", but must be aws, customer, or the ARN of a KMS key in us-east-1, such as',
    ),
    "key of another region": (
        {"aws_identity_kms_key": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"},
        "but must be aws, customer, or the ARN of a KMS key in us-east-1, such as",
    ),
    "window": (
        {"aws_identity_kms_pending_window": 3},
        "aws_identity_kms_pending_window is 3, but KMS waits 7 to 30 days: choose one of these.",
    ),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What each case of FAULTS is told, all in one run."""
    folder = tmp_path_factory.mktemp("verdicts")
    tasks = []
    for case, (own, _) in FAULTS.items():
        report = {"dest": str(folder / case), "mode": "0600", "content": "{{ ansible_failed_result.msg }}"}
        role = {"name": "chromafleet.aws.aws_identity"}
        values = {**OPTIONS, "aws_identity_found": NOTHING, **own}
        rescue = [{"ansible.builtin.copy": report}]
        tasks.append({"block": [{"ansible.builtin.include_role": role, "vars": values}], "rescue": rescue})
    nowhere = {"endpoint_url": "http://127.0.0.1:9", "access_key": "local", "secret_key": "local"}
    head = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    play = {**head, "module_defaults": {"group/amazon.aws.aws": nowhere}, "tasks": tasks}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    done = run_ansible(folder / "play.yml", inventory="localhost,", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("case", FAULTS)
def test_bad_input_is_one_sentence(verdicts, case):
    assert FAULTS[case][1] in verdicts[case]
    assert len(verdicts[case].splitlines()) == 1


# --- The module kms_alias -------------------------------------------------------------------------------------------


@pytest.fixture
def kms_alias(run_module):
    """Run the module."""
    return partial(run_module, "kms_alias")


def test_an_alias_is_made_moved_and_deleted_once(kms_alias, empty_account):
    kms = empty_account("kms")
    one, other = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    asked = {"name": "chromafleet/demo", "key_id": one}
    assert kms_alias(check=True, **asked)["changed"]
    assert aliases(kms) == {}
    assert [kms_alias(**asked)["changed"] for _ in range(2)] == [True, False]
    assert aliases(kms) == {ALIAS: one}
    moved = kms_alias(name=ALIAS, key_id=other)
    assert moved["diff"] == {"before": {"key_id": one}, "after": {"key_id": other}}
    assert aliases(kms) == {ALIAS: other}
    assert kms_alias(check=True, name=ALIAS, state="absent")["changed"]
    assert aliases(kms) == {ALIAS: other}
    assert [kms_alias(name=ALIAS, state="absent")["changed"] for _ in range(2)] == [True, False]
    assert aliases(kms) == {}


def test_an_alias_needs_a_key_that_exists(kms_alias, empty_account):
    answer = kms_alias(name="chromafleet/demo", key_id="11111111-2222-3333-4444-555555555555")
    assert answer["msg"] == (
        "There is no KMS key 11111111-2222-3333-4444-555555555555 for alias/chromafleet/demo to point at."
    )
