"""How tokens are made, kept, replaced and hashed, without AWS."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.chromafleet.aws.plugins.filter import api_tokens, cache_passwords, rotate, token_hashes
from ansible_collections.chromafleet.aws.plugins.module_utils import secret_documents as documents

AT = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(hours=24)
ADMIN = {"name": "admin", "scope": "admin", "tenants": ["*"]}
CI = {"name": "ci", "scope": "write", "tenants": ["acme"]}
OLD, NEW = "cf_" + "o" * 48, "cf_" + "n" * 48


def held(**more):
    """A document with one token."""
    return {"tokens": [{**ADMIN, "token": OLD, **more}]}


def sha256(*values):
    """Their digests, as hosts get them."""
    return sorted(hashlib.sha256(value.encode()).hexdigest() for value in values)


def test_tokens_are_made_once():
    first = api_tokens.api_tokens("", [ADMIN, CI])
    made = json.loads(first)["tokens"]
    assert [entry["name"] for entry in made] == ["admin", "ci"]
    assert len({entry["token"] for entry in made}) == 2
    assert all(documents.STRONG.fullmatch(entry["token"]) for entry in made)
    assert api_tokens.api_tokens(first, [CI, ADMIN]) == first


def test_scope_and_tenants_follow_the_list_and_the_value_stays():
    text = json.dumps(held())
    (entry,) = json.loads(api_tokens.api_tokens(text, [{"name": "admin", "scope": "read"}]))["tokens"]
    assert entry == {"name": "admin", "scope": "read", "tenants": ["*"], "token": OLD}


@pytest.mark.parametrize(("purge", "names"), [(False, ["admin", "ci"]), (True, ["ci"])])
def test_a_token_that_is_not_listed(purge, names):
    made = json.loads(api_tokens.api_tokens(json.dumps(held()), [CI], purge))["tokens"]
    assert [entry["name"] for entry in made] == names


def test_a_rotation_that_is_under_way_outlives_a_change_of_the_list():
    text = json.dumps(held(next={"token": NEW, "since": "2026-01-31T12:00:00Z"}))
    (entry,) = json.loads(api_tokens.api_tokens(text, [{**ADMIN, "scope": "write"}]))["tokens"]
    assert entry["next"]["token"] == NEW


def start(document, at=AT, names=(), finish=False):
    """Begin the next step, with a value that is known."""
    return documents.start(document, names=names, finish=finish, at=at, make=lambda: NEW)


def complete(document, at=AT):
    """End the step."""
    return documents.complete(document, overlap=DAY, at=at)


def phase(document):
    """The first token's phase."""
    return documents.phases(document)[0]["phase"]


def test_a_rotation_from_beginning_to_end():
    spreading = start(held())
    assert phase(spreading) == "spreading"
    # Who reads the secret now gets what works everywhere.
    assert spreading["tokens"][0]["token"] == OLD
    assert documents.token_hashes(spreading)[0]["sha256"] == sha256(OLD, NEW)

    overlap = complete(spreading)
    assert phase(overlap) == "overlap"
    assert overlap["tokens"][0]["token"] == NEW
    assert overlap["tokens"][0]["previous"] == {"token": OLD, "until": "2026-02-01T12:00:00Z"}
    # Nothing to reload: the hosts know both already.
    assert documents.token_hashes(overlap) == documents.token_hashes(spreading)

    assert start(overlap, AT + DAY - timedelta(seconds=1)) == overlap
    assert complete(overlap) == overlap
    withdrawing = start(overlap, AT + DAY)
    assert phase(withdrawing) == "withdrawing"
    assert documents.token_hashes(withdrawing)[0]["sha256"] == sha256(NEW)

    assert complete(withdrawing) == {"tokens": [{**ADMIN, "token": NEW}]}


def test_each_half_may_be_run_again():
    spreading = start(held())
    assert documents.start(spreading, names=(), finish=True, at=AT + DAY) == spreading
    withdrawing = start(complete(spreading), finish=True)
    assert start(withdrawing, AT + 2 * DAY) == withdrawing
    assert complete(complete(withdrawing)) == complete(withdrawing)


def test_finishing_begins_nothing():
    assert start(held(), finish=True) == held()


def test_an_overlap_is_finished_before_its_time():
    assert phase(start(complete(start(held())), finish=True)) == "withdrawing"


def test_one_of_several_tokens():
    document = {"tokens": [{**ADMIN, "token": OLD}, {**CI, "token": OLD + "2"}]}
    started = start(document, names=["ci"])
    assert [entry["phase"] for entry in documents.phases(started)] == ["steady", "spreading"]


def test_the_cache_has_one_value():
    document = documents.start({"auth_token": OLD}, names=(), finish=False, at=AT)
    (told,) = documents.phases(document)
    assert (told["name"], told["phase"], told["since"]) == ("cache", "spreading", "2026-01-31T12:00:00Z")
    assert complete(document)["previous"] == {"auth_token": OLD, "until": "2026-02-01T12:00:00Z"}
    # What ElastiCache takes.
    assert 16 <= len(document["next"]["auth_token"]) <= 128
    assert document["next"]["auth_token"].isalnum()


def test_hosts_know_both_passwords_of_the_cache():
    steady = {"auth_token": OLD}
    spreading = documents.start(steady, names=(), finish=False, at=AT, make=lambda: NEW)
    overlap = complete(spreading)
    withdrawing = start(overlap, AT + DAY)
    told = [cache_passwords.cache_passwords(json.dumps(one)) for one in (steady, spreading, overlap, withdrawing)]
    assert told == [[OLD], sorted([OLD, NEW]), sorted([OLD, NEW]), [NEW]]


def test_phases_tell_no_value():
    for document in (held(), start(held()), complete(start(held())), start(complete(start(held())), finish=True)):
        assert OLD not in str(documents.phases(document))
        assert NEW not in str(documents.phases(document))
        assert documents.phases(document)[0]["says"]


def test_an_overlap_says_until_when():
    (told,) = documents.phases(complete(start(held())))
    assert "until a run after 2026-02-01T12:00:00Z" in told["says"]


@pytest.mark.parametrize("weak", ["short", "with spaces in it, and long", "ümlaut-0123456789abcdef"])
def test_tokens_that_could_be_guessed_are_refused(weak):
    with pytest.raises(AnsibleFilterError, match="admin has a token of less than 20 characters") as refused:
        token_hashes.token_hashes(json.dumps(held(token=weak)))
    assert weak not in str(refused.value)


def test_filter_keeps_the_text_where_there_is_nothing_to_do():
    text = json.dumps(held(), indent=3)
    assert rotate.rotate(text, "start", finish=True) == text
    assert rotate.rotate(text, "complete") == text


def test_filter_counts_the_hours():
    text = rotate.rotate(rotate.rotate(json.dumps(held()), "start", names=["admin"]), "complete", overlap_hours=0)
    assert phase(json.loads(rotate.rotate(text, "start"))) == "withdrawing"


def test_filter_knows_two_halves():
    with pytest.raises(AnsibleFilterError, match="start and complete, not middle"):
        rotate.rotate(json.dumps(held()), "middle")
