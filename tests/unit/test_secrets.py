"""The layer secrets through a fleet's life, and the rotation of what it holds."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from ansible_runs import ROOT, run_ansible
from layer_runs import LOOK_AGAIN, run_layer

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
TOKENS, CACHE, SNAPSHOTS = (f"chromafleet/demo/{name}" for name in ("tokens", "cache", "snapshots"))
TAGS = {"chromafleet:fleet": "demo"}
ADMIN = {"name": "admin", "scope": "admin", "tenants": ["*"]}


@pytest.fixture
def secrets(aws):
    """Run the role's entry points."""

    def run(*steps, check=False, verbose=False, **more):
        options = {
            "aws_secrets_tokens_name": TOKENS,
            "aws_secrets_cache_name": CACHE,
            "aws_secrets_snapshots_name": SNAPSHOTS,
            "aws_secrets_tags": TAGS,
            "aws_secrets_connection": {**aws.connection, "region": "us-east-1"},
            **more,
        }
        return run_layer(aws, "secrets", options, *steps, check=check, verbose=verbose)

    return run


@pytest.fixture
def held(aws):
    """What a secret holds."""

    def read(name):
        return json.loads(aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])

    return read


def values(document):
    """Every value in a secret."""
    for key, part in document.items() if isinstance(document, dict) else enumerate(document):
        if isinstance(part, (dict, list)):
            yield from values(part)
        elif key in {"token", "auth_token", "password"}:
            yield part


@contextmanager
def process_list():
    """Every command line that any process has meanwhile."""
    seen, done = set(), threading.Event()

    def watch():
        while not done.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield seen
    done.set()
    watcher.join()


def test_create_and_again(aws, secrets, held):
    planned = secrets(check=True)
    assert planned.plan == [f"create secret {name}" for name in (CACHE, SNAPSHOTS, TOKENS)]
    assert planned.writes == []
    with process_list() as commands:
        made = secrets(verbose=True)
    assert made.code == 0, made.output
    texts = [value for name in (TOKENS, CACHE, SNAPSHOTS) for value in values(held(name))]
    assert len({*texts}) == 3
    assert len(commands) > 10
    for text in texts:
        assert text not in made.output
        assert not [command for command in commands if text.encode() in command]
    again = secrets()
    assert (again.changed, again.writes) == (0, [])
    # A run with nothing to do reads no value.
    assert "GetSecretValue" not in [call["operation"] for call in again.calls]


@pytest.mark.long
def test_what_was_changed_by_hand_is_mended_and_no_value_is_touched(aws, secrets, held):
    before = {name: held(name) for name in (TOKENS, CACHE, SNAPSHOTS)}
    client = aws.client("secretsmanager")
    client.update_secret(SecretId=CACHE, Description="mine")
    client.tag_resource(SecretId=TOKENS, Tags=[{"Key": "by", "Value": "hand"}])
    # It is not found any more, but is there: the key of all backups must not be made anew.
    client.untag_resource(SecretId=SNAPSHOTS, TagKeys=["chromafleet:fleet"])
    drifted = secrets(check=True)
    expected = [
        f"create secret {SNAPSHOTS}",
        f"change secret {CACHE} description: mine -> ",
        f'change secret {TOKENS} tags: {{"by": "hand"',
    ]
    assert len(drifted.plan) == len(expected)
    assert all(row.startswith(begin) for row, begin in zip(drifted.plan, expected, strict=True)), drifted.plan
    assert drifted.writes == []
    mended = secrets("main", LOOK_AGAIN, "main")
    assert mended.code == 0
    assert sorted(mended.writes) == ["TagResource", "UntagResource", "UpdateSecret"]
    assert {name: held(name) for name in before} == before


def test_scope_and_tenants_are_noticed_without_reading_a_token(secrets, held):
    token = held(TOKENS)["tokens"][0]["token"]
    wanted = [{**ADMIN, "scope": "write", "tenants": ["acme"]}, {"name": "ci", "scope": "read"}]
    planned = secrets(check=True, aws_secrets_tokens=wanted)
    assert [row.split(" tags: ")[0] for row in planned.plan] == [f"change secret {TOKENS}"]
    assert "GetSecretValue" not in [call["operation"] for call in planned.calls]
    assert secrets(aws_secrets_tokens=wanted).code == 0
    assert held(TOKENS)["tokens"][0] == {"name": "admin", "token": token, "scope": "write", "tenants": ["acme"]}
    # Without the switch, a token that is no longer listed stays.
    assert secrets().code == 0
    assert [entry["name"] for entry in held(TOKENS)["tokens"]] == ["admin", "ci"]
    assert secrets(aws_secrets_purge_tokens=True).code == 0
    assert held(TOKENS)["tokens"] == [{**ADMIN, "token": token}]
    assert secrets().code == 0


@pytest.mark.long
def test_a_key_and_back(aws, secrets, held):
    before = {name: held(name) for name in (TOKENS, CACHE, SNAPSHOTS)}
    given = secrets("main", LOOK_AGAIN, "main", aws_secrets_kms_key_arn=KEY)
    assert (given.code, given.writes) == (0, ["UpdateSecret"] * 3)
    assert aws.client("secretsmanager").describe_secret(SecretId=CACHE)["KmsKeyId"] == KEY
    taken = secrets("main", LOOK_AGAIN, "main")
    assert (taken.code, taken.writes) == (0, ["UpdateSecret"] * 3)
    assert "KmsKeyId" not in aws.client("secretsmanager").describe_secret(SecretId=CACHE)
    assert {name: held(name) for name in before} == before


@pytest.mark.long
def test_destroy_and_create_again_gives_back_what_was_there(aws, secrets, held):
    before = {name: held(name) for name in (TOKENS, CACHE, SNAPSHOTS)}
    planned = secrets("destroy", check=True)
    assert (len(planned.plan), planned.writes) == (3, [])
    destroyed = secrets("destroy", LOOK_AGAIN, "destroy")
    assert (destroyed.code, destroyed.writes) == (0, ["DeleteSecret"] * 3)
    rows = aws.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    assert len([row for row in rows if "DeletedDate" in row]) == 3
    assert len(secrets(check=True).plan) == 3
    made = secrets("main", LOOK_AGAIN, "main")
    assert (made.code, made.writes) == (0, ["RestoreSecret"] * 3)
    assert {name: held(name) for name in before} == before


@pytest.mark.long
def test_destroy_for_good_and_create_again_gives_others(aws, secrets, held):
    before = held(SNAPSHOTS)
    # AWS deletes in the background, and refuses the name until that is done.
    aws.inject(
        "secretsmanager",
        "CreateSecret",
        "InvalidRequestException",
        "You can't create this secret because a secret with this name is already scheduled for deletion.",
    )
    for_good = ("destroy", {"aws_secrets_recovery_window_days": 0})
    run = secrets("destroy", LOOK_AGAIN, for_good, LOOK_AGAIN, "main")
    assert run.code == 0, run.output
    assert run.writes == ["DeleteSecret"] * 6 + ["CreateSecret"] * 4
    assert held(SNAPSHOTS) != before


def test_a_recovery_window_that_aws_does_not_have(secrets):
    refused = secrets("destroy", aws_secrets_recovery_window_days=3)
    assert (refused.code, refused.writes) == (2, [])
    sentence = "aws_secrets_recovery_window_days is 3, but Secrets Manager keeps a deleted secret for 7 to 30 days"
    assert sentence in " ".join(refused.output.split())


def test_a_failure_shows_no_value(aws, secrets, held):
    aws.client("secretsmanager").update_secret(SecretId=CACHE, Description="mine")
    aws.inject("secretsmanager", "UpdateSecret", "InternalServiceError", "Not today")
    failed = secrets(verbose=True)
    aws.heal()
    assert failed.code == 2
    assert held(CACHE)["auth_token"] not in failed.output
    assert secrets().code == 0


# --- Rotation ---------------------------------------------------------------------------------------------------------


def half(name, **more):
    """One half of a step, then what hosts would get."""
    return "rotate", {"aws_secrets_rotate": "tokens", "aws_secrets_rotate_half": name, **more}


def hashes(run):
    """What the hosts would get, from a run that told it."""
    _, _, told = run.output.partition("aws_secrets_token_hashes:")
    return yaml.safe_load(told.partition("changed:")[0])[0]["sha256"]


@pytest.mark.long
def test_tokens_overlap(secrets, held):
    old = held(TOKENS)["tokens"][0]["token"]
    started = secrets(half("start"), "resolve", verbose=True)
    assert started.code == 0, started.output
    (entry,) = held(TOKENS)["tokens"]
    new = entry["next"]["token"]
    assert entry["token"] == old
    both = sorted(hashlib.sha256(text.encode()).hexdigest() for text in (old, new))
    assert hashes(started) == both

    # Interrupted here, and run again: the same new token.
    completed = secrets(half("start"), half("complete"), "resolve", verbose=True)
    assert (completed.code, completed.writes) == (0, ["UpdateSecret"])
    assert held(TOKENS)["tokens"][0]["token"] == new
    assert hashes(completed) == both
    for run in (started, completed):
        assert old not in run.output
        assert new not in run.output
    # In the overlap, a run of site.yml leaves it alone, and so does the same command again.
    assert secrets("main", half("start"), half("complete")).writes == []

    ended = secrets(half("start", aws_secrets_rotate_finish=True), "resolve", verbose=True)
    assert hashes(ended) == [hashlib.sha256(new.encode()).hexdigest()]
    assert secrets(half("complete"), LOOK_AGAIN, "main").writes == ["UpdateSecret"]
    assert held(TOKENS)["tokens"] == [{**ADMIN, "token": new}]


def test_a_name_that_is_no_token(secrets):
    refused = secrets(half("start", aws_secrets_rotate_name="root"))
    assert refused.code == 2
    assert f"There is no root in the secret {TOKENS}, which holds admin: name one of these" in " ".join(
        refused.output.split()
    )
    assert refused.writes == []


@pytest.fixture
def rotate(aws, tmp_path):
    """Run playbooks/rotate.yml for the fleet demo, which has a host that can't be reached."""

    def run(*arguments, hosts=True):
        folder = tmp_path / "environment"
        (folder / "group_vars/all").mkdir(parents=True, exist_ok=True)
        host = "unreachable ansible_host=127.0.0.1 ansible_port=9 ansible_connection=ssh ansible_ssh_timeout=2\n"
        (folder / "hosts.ini").write_text("[fleet]\n" + host * hosts)
        common = (ROOT / "group_vars/common.yml").read_text()
        (folder / "group_vars/all/00_common.yml").write_text(common)
        own = {
            "fleet_name": "demo",
            "fleet_region": "us-east-1",
            "fleet_domain": "localhost",
            "fleet_aws_connection": aws.connection,
        }
        (folder / "group_vars/all/10_own.yml").write_text(yaml.safe_dump(own))
        arguments = [part for argument in arguments for part in ("-e", argument)]
        done = run_ansible(ROOT / "playbooks/rotate.yml", *arguments, "-v", inventory=folder)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return run


REFUSED = {
    "nothing": ([], True, 'rotate is "": say what shall be rotated with -e rotate=tokens or -e rotate=cache.'),
    "the key of the backups": (["rotate=snapshots"], True, "The key of the snapshots is never rotated: every backup"),
    "no hosts": (["rotate=tokens"], False, "The inventory finds no instance of the fleet demo, which would have to"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rotate_refuses(aws, rotate, case):
    arguments, hosts, sentence = REFUSED[case]
    aws.forget()
    code, output = rotate(*arguments, hosts=hosts)
    assert code == 2
    assert sentence in output
    assert aws.writes() == []


def test_hosts_that_do_not_learn_the_token_stop_the_rotation(rotate, held):
    code, output = rotate("rotate=tokens")
    assert code != 0
    assert "Failed: unreachable" in output
    (entry,) = held(TOKENS)["tokens"]
    assert "next" in entry
    assert "previous" not in entry


def test_one_host_that_does_not_learn_the_token_stops_the_rotation(play):
    """The others having learnt it: Ansible would go on with the next play."""
    last = yaml.safe_load((ROOT / "playbooks/rotate.yml").read_text())[-1]
    learn = {"hosts": "one", "gather_facts": False, "tasks": [{"ansible.builtin.set_fact": {"__rotate_known": True}}]}
    variables = {"fleet_aws_connection": {}, "fleet_aws_environment": {}, "rotate": "tokens"}
    done = play(yaml.safe_dump([learn, {**last, "tasks": last["tasks"][:1]}]), "-e", json.dumps(variables))
    assert done.returncode == 2
    assert "two could not be told the new tokens: nothing has stopped working" in " ".join(done.stdout.split())


def test_the_cache_overlaps(aws, rotate, secrets, held):
    elasticache = aws.client("elasticache")
    old = held(CACHE)["auth_token"]
    elasticache.create_replication_group(
        ReplicationGroupId="demo-main",
        ReplicationGroupDescription="c",
        Engine="valkey",
        CacheNodeType="cache.t4g.small",
        TransitEncryptionEnabled=True,
        AuthToken=old,
    )

    def told():
        return len([call for call in aws.calls() if call["operation"] == "ModifyReplicationGroup"])

    code, output = rotate("rotate=cache", hosts=False)
    assert code == 0, output
    document = held(CACHE)
    assert document["auth_token"] != old
    assert document["previous"]["auth_token"] == old
    assert told() == 1
    assert "cache the new and the old value work, the old one until a run after" in output
    assert "playbooks/rotate.yml -e rotate=cache (after" in output
    for text in values(document):
        assert text not in output
    # In the overlap there is nothing to do.
    code, _ = rotate("rotate=cache", hosts=False)
    assert (code, held(CACHE), told()) == (0, document, 1)
    code, output = rotate("rotate=cache", "finish=true", hosts=False)
    assert code == 0, output
    assert held(CACHE) == {"auth_token": document["auth_token"]}
    assert told() == 2
    assert "cache one value works" in output

    # A run that was interrupted after it had told the cache: the next one doesn't tell it again.
    assert secrets(half("start", aws_secrets_rotate="cache")).code == 0
    elasticache.modify_replication_group(
        ReplicationGroupId="demo-main",
        AuthToken=held(CACHE)["next"]["auth_token"],
        AuthTokenUpdateStrategy="ROTATE",
        ApplyImmediately=True,
    )
    code, output = rotate("rotate=cache", hosts=False)
    assert code == 0, output
    assert told() == 3
    assert held(CACHE)["previous"] == {"auth_token": document["auth_token"], "until": held(CACHE)["previous"]["until"]}
