"""A token is replaced while clients use it: with either token in the overlap, with the new one only after it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from support import Done, Load, aws, run, secret_values, wait_until

ROTATE = ("ansible-playbook", "-i", "inventories/local", "playbooks/rotate.yml", "-e", "rotate=tokens", "-vvv")
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


def bearer_of(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_is_replaced_under_load(demo: Done, clone: Path, http: httpx.Client) -> None:
    old = secret_values()[0]
    with Load(http, COLLECTIONS, bearer_of(old)) as with_the_old:
        begun = run(*ROTATE, cwd=clone)
        assert begun.code == 0, begun.output[-3000:]
        new = secret_values()[0]
        assert new != old
        with Load(http, COLLECTIONS, bearer_of(new)) as with_the_new:
            so_far = len(with_the_new.statuses)
            wait_until("answers to the new token", lambda: len(with_the_new.statuses) > so_far + 20)
            assert set(with_the_old.stop()) == {200}
            finished = run(*ROTATE, "-e", "finish=true", cwd=clone)
            assert finished.code == 0, finished.output[-3000:]
            wait_until("still more answers", lambda: len(with_the_new.statuses) > so_far + 100)
    assert len(with_the_old.statuses) > 100
    assert set(with_the_new.statuses) == {200}
    assert http.get(COLLECTIONS, headers=bearer_of(old)).status_code == 401
    for secret in (old, new):
        assert secret not in begun.output + finished.output


def test_the_first_token_is_in_the_secret_only(demo: Done) -> None:
    """Clients read it there; a rotation leaves no `next` and no second value behind."""
    held = json.loads(aws("secretsmanager").get_secret_value(SecretId="chromafleet/demo/tokens")["SecretString"])
    assert [sorted(token) for token in held["tokens"]] == [["name", "scope", "tenants", "token"]] * len(held["tokens"])
