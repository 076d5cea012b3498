"""Who may do what: every route times every scope times the own and a stranger's tenant, as access.yml says."""

import itertools
import json
import uuid
from pathlib import Path

import httpx
import pytest
import yaml

TABLE = yaml.safe_load(Path(__file__).with_name("access.yml").read_text())
ADMIN = "molecule-admin-0123456789abcdef"
SCOPES = ["any", "read", "write", "admin"]
# Tokens of molecule.yml that are for the tenant acme only.
TOKENS = {scope: f"molecule-acme-{scope}-0123456789abcdef" for scope in SCOPES[1:]}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def address(host):
    return host.interface("eth0").addresses[0]


@pytest.fixture(scope="module")
def client(address):
    with httpx.Client(base_url=f"https://{address}", verify=False, timeout=20) as made:  # noqa: S501 (it signs itself)
        yield made


@pytest.fixture(scope="module")
def collections(client):
    """Tenant to the id of its collection; each tenant has a database, and something that may go."""
    found = {}
    for tenant in ("acme", "other"):
        base = f"/api/v2/tenants/{tenant}/databases"
        for path, name in (("/api/v2/tenants", tenant), (base, "shop"), (base, "gone")):
            client.post(path, json={"name": name}, headers=bearer(ADMIN))
        made = [
            client.post(f"{base}/shop/collections", json={"name": name, "get_or_create": True}, headers=bearer(ADMIN))
            for name in ("kept", "gone")
        ]
        found[tenant] = made[0].json()["id"]
        first = {"ids": ["a"], "embeddings": [[1, 2]], "documents": [f"secret of {tenant}"]}
        client.post(f"{base}/shop/collections/{found[tenant]}/upsert", json=first, headers=bearer(ADMIN))
    return found


@pytest.fixture(scope="module")
def asked(host, client):
    """Ask, and tell the status, the body, and whether Chroma was asked at all (by the access log)."""
    lines = {}

    def ask(method, path, token, body=None):
        mark = uuid.uuid4().hex
        answer = client.request(method, f"{path}?cell={mark}", json=body, headers=bearer(token))
        return answer.status_code, answer.text, mark

    def reached(mark):
        if mark not in lines:
            for line in host.file("/var/log/nginx/access.log").content_string.splitlines():
                entry = json.loads(line)
                lines[entry["uri"].rpartition("cell=")[2]] = entry
        return lines[mark]["upstream_status"] != ""

    ask.reached = reached
    return ask


def cells(wanted):
    return list(itertools.product([route for route in TABLE["routes"] if wanted in route["path"]], TOKENS))


def fill(route, tenant, collection):
    return route["path"].format(tenant=tenant, database="shop", collection=collection)


def may(route, scope):
    return (
        not route.get("everywhere")
        and route["scope"] != "closed"
        and SCOPES.index(scope) >= SCOPES.index(route["scope"])
    )


def test_the_own_tenant(asked, collections):
    wrong, marks = [], []
    for route, scope in cells(""):
        status, body, mark = asked(
            route["method"], fill(route, "acme", collections["acme"]), TOKENS[scope], route.get("body")
        )
        marks.append((mark, may(route, scope), route, scope))
        refused = 404 if route["scope"] == "closed" else 403
        if (status != refused) if not may(route, scope) else (status in {400, 401, 403, 405}):
            wrong.append((route["method"], route["path"], scope, status, body[:200]))
    wrong += [(route["path"], scope) for mark, wanted, route, scope in marks if asked.reached(mark) != wanted]
    assert wrong == []


def test_a_stranger_s_tenant(asked, collections):
    asks = [
        (route, asked(route["method"], fill(route, "other", collections["other"]), TOKENS[scope], route.get("body")))
        for route, scope in cells("{tenant}")
    ]
    assert [
        (r["path"], status) for r, (status, _, mark) in asks if status not in {403, 404} or asked.reached(mark)
    ] == []


def test_a_stranger_s_collection_by_its_id(asked, collections):
    """Chroma itself would serve it under any path."""
    wrong = []
    for route, scope in cells("{collection}"):
        path = fill(route, "acme", collections["other"])
        status, body, mark = asked(route["method"], path, TOKENS[scope], route.get("body"))
        if status != (404 if may(route, scope) else 403) or "secret of other" in body or asked.reached(mark):
            wrong.append((route["method"], route["path"], scope, status, body[:200]))
    assert wrong == []
    # It is Chroma that would: this is what the check is for.
    assert asked("GET", f"/api/v2/tenants/acme/databases/shop/collections/{collections['other']}/count", ADMIN)[:2] == (
        200,
        "1",
    )


def test_a_token_for_all_tenants(asked, collections):
    for tenant, route in itertools.product(collections, TABLE["routes"]):
        if route["method"] == "GET" and route["scope"] != "closed":
            assert asked("GET", fill(route, tenant, collections[tenant]), ADMIN)[0] not in {400, 401, 403, 405}
    assert asked("POST", "/api/v2/tenants", ADMIN, {"name": f"made-{uuid.uuid4().hex}"})[0] == 200
    assert asked("POST", "/api/v2/reset", ADMIN)[0] == 404


@pytest.mark.parametrize("trick", TABLE["tricks"], ids=lambda trick: trick["path"])
def test_tricks(address, host, collections, trick):
    """Sent as they are: a library would clean the path first."""
    foreign = collections["other"]
    path = trick["path"].format(foreign=foreign, UPPER=foreign.upper(), undashed=foreign.replace("-", ""))
    command = "curl --silent --insecure --path-as-is --request %s --header %s --write-out '\\n%%{http_code}' %s"
    said = host.check_output(
        command, trick.get("method", "GET"), f"Authorization: Bearer {TOKENS['admin']}", f"https://{address}{path}"
    )
    body, _, status = said.rpartition("\n")
    assert int(status) == trick["status"]
    assert "secret of other" not in body


def test_every_route_of_this_chroma_is_in_the_table(host):
    """A newer Chroma may have more: they stay closed until somebody has read what they do."""
    paths = json.loads(host.check_output("curl --silent http://127.0.0.1:8000/openapi.json"))["paths"]
    theirs = {(method.upper(), len(path.split("/"))) for path, methods in paths.items() for method in methods}
    ours = {(route["method"], len(route["path"].split("/"))) for route in TABLE["routes"]}
    assert theirs - ours == set()
    assert sum(len(methods) for methods in paths.values()) == len(TABLE["routes"]) - 2  # docs are not in it
