"""What the load balancer lets through, and what a host does."""

from __future__ import annotations

import subprocess

import httpx
import pytest
from support import Done, aws, docker, secret_values, writer

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"X-Chroma-Token": "wrong"}])
@pytest.mark.parametrize("path", ["/api/v2/heartbeat", COLLECTIONS, "/docs", "/openapi.json"])
def test_nobody_comes_in_without_a_token(http: httpx.Client, path: str, headers: dict[str, str]) -> None:
    answer = http.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_token_opens_it(http: httpx.Client, bearer: dict[str, str]) -> None:
    answer = http.get(COLLECTIONS, headers=bearer)
    assert answer.status_code == 200
    assert [collection["name"] for collection in answer.json()] == ["ansible-modules"]


def test_http_is_redirected(demo: Done) -> None:
    answer = httpx.get("http://chroma.localhost/api/v2/version?a=b", follow_redirects=False)
    assert answer.status_code == 301
    assert answer.headers["Location"] == "https://chroma.localhost/api/v2/version?a=b"


def test_there_is_only_version_2_of_the_api(http: httpx.Client, bearer: dict[str, str]) -> None:
    assert http.get("/api/v1/heartbeat", headers=bearer).status_code == 410
    assert http.get("/api/v2/heartbeat", headers=bearer).status_code == 200


@pytest.mark.parametrize("host", ["chroma.localhost", "read.chroma.localhost"])
def test_ready_and_alive_without_a_token(http: httpx.Client, host: str) -> None:
    for path in ("/ready", "/health", "/api/v1/health"):
        assert http.get(f"https://{host}{path}").status_code == 200


def test_another_host_name_is_nobodys(http: httpx.Client) -> None:
    assert http.get("/ready", headers={"Host": "elsewhere.example"}).status_code == 404


def test_chroma_is_reached_through_nginx_only(demo: Done) -> None:
    instance = aws("ec2").describe_instances(InstanceIds=[writer()])["Reservations"][0]["Instances"][0]
    network = f"chromafleet-local-{instance['VpcId']}"
    address = instance["PrivateIpAddress"]

    def reached(port: int) -> bool:
        probe = ["docker", "run", "--rm", "--network", network, "chromafleet-local/node:trixie", "bash", "-c"]
        return not subprocess.run(
            [*probe, f"exec 3<>/dev/tcp/{address}/{port}"], capture_output=True, check=False
        ).returncode

    assert reached(443)
    assert not reached(8000)
    assert docker("exec", writer(), "curl", "-sf", "http://127.0.0.1:8000/api/v2/heartbeat")


def test_the_load_balancers_health_is_the_apis(demo: Done) -> None:
    elb = aws("elbv2")
    for group in elb.describe_target_groups(Names=["demo-main-writer", "demo-main-reader"])["TargetGroups"]:
        health = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
        assert [(row["Target"]["Id"], row["TargetHealth"]["State"]) for row in health] == [(writer(), "healthy")]


def test_the_query_cache_never_outlives_a_write(http: httpx.Client, bearer: dict[str, str]) -> None:
    """In the cell's Valkey, which the host finds by its name, and to which it speaks in TLS with a password."""
    made = http.post(COLLECTIONS, json={"name": "cached"}, headers=bearer).json()
    collection = f"{COLLECTIONS}/{made['id']}"

    def ask() -> tuple[str, int]:
        answer = http.get(f"{collection}/count", headers=bearer)
        return answer.headers["X-Cache"], answer.json()

    try:
        assert [ask() for _ in range(2)] == [("miss", 0), ("hit", 0)]
        record = {"ids": ["a"], "embeddings": [[1, 2]]}
        assert http.post(f"{collection}/add", json=record, headers=bearer).status_code == 201
        assert [ask() for _ in range(2)] == [("miss", 1), ("hit", 1)]
    finally:
        http.delete(f"{COLLECTIONS}/cached", headers=bearer)


def test_no_secret_is_on_the_host(demo: Done) -> None:
    """Not in any file but hashed, not in the environment of any process, not in the container's configuration.

    The password of the cache is in one file, which only root may read: nginx must say it to Valkey.
    """
    everywhere = "grep -rlsF {0} / --exclude-dir=proc --exclude-dir=sys; grep -lsF {0} /proc/[0-9]*/environ; true"
    for secret in secret_values():
        search = everywhere.format(secret)
        # Through standard input: the search's own command line would be found.
        found = subprocess.run(
            ["docker", "exec", "-i", writer(), "sh"], input=search, capture_output=True, text=True, check=True
        )
        password_of_the_cache = secret == secret_values()[-1]
        assert found.stdout.split() == (["/etc/nginx/chromafleet/cache.json"] if password_of_the_cache else [])
