"""Who comes in, who doesn't, and that no token is on the host."""

import hashlib
import json
import socket

import pytest

ADMIN = "molecule-admin-0123456789abcdef"
OLD_ADMIN = "molecule-admin-before-0123456789"
READER = "molecule-reader-0123456789abcdef"
WITHDRAWN = "molecule-reader-before-0123456789"
TOKENS = "/etc/nginx/chromafleet/tokens.json"
HEARTBEAT = "/api/v2/heartbeat"


def fetch(host, path, *options):
    """Status, headers and body of a request that is made on the host."""
    arguments = " ".join(f"'{option}'" for option in options)
    answer = host.check_output(
        f"curl --silent --insecure --include --max-time 20 --write-out '\\n%{{http_code}}' {arguments} https://127.0.0.1{path}"
    )
    head, _, rest = answer.replace("\r", "").partition("\n\n")
    body, _, status = rest.rpartition("\n")
    return int(status), head.lower(), body


def bearer(token):
    return "--header", f"Authorization: Bearer {token}"


def test_service_is_enabled_and_running(host):
    nginx = host.service("nginx")
    assert nginx.is_enabled
    assert nginx.is_running
    assert host.run("nginx -t -q").rc == 0


def test_only_the_endpoint_is_reached_from_outside(host):
    assert host.socket("tcp://0.0.0.0:443").is_listening
    assert not host.socket("tcp://0.0.0.0:80").is_listening
    assert host.socket("tcp://127.0.0.1:8081").is_listening
    assert not host.socket("tcp://0.0.0.0:8081").is_listening


@pytest.mark.parametrize(
    "header",
    [
        (),
        bearer("wrong-token-0123456789abcdef"),
        bearer(WITHDRAWN),
        bearer(ADMIN[:-1]),
        bearer(ADMIN + "0"),
        bearer(hashlib.sha256(ADMIN.encode()).hexdigest()),
        ("--header", f"Authorization: Basic {ADMIN}"),
        ("--header", f"X-Chroma-Token: {ADMIN}"),
    ],
    ids=["none", "wrong", "withdrawn", "shorter", "longer", "its hash", "basic", "other header"],
)
def test_without_a_known_token_nobody_comes_in(host, header):
    for path in (HEARTBEAT, "/openapi.json", "/api/v2/tenants/default_tenant", "/loaded"):
        status, head, body = fetch(host, path, *header)
        assert status == 401
        assert "www-authenticate: bearer" in head
        assert json.loads(body)["error"] == "AuthorizationError"


@pytest.mark.parametrize("token", [ADMIN, OLD_ADMIN, READER], ids=["admin", "old admin", "reader"])
def test_with_a_token_chroma_answers(host, chroma, token):
    status, head, body = fetch(host, HEARTBEAT, *bearer(token))
    assert status == 200
    assert "nanosecond heartbeat" in body
    assert "server: nginx\n" in head + "\n"


def test_errors_of_chroma_pass_as_they_are(host, chroma):
    status, _, body = fetch(host, "/api/v1/heartbeat", *bearer(ADMIN))
    assert status == 410
    assert "Unimplemented" in body


def test_large_bodies(host, chroma):
    post = (*bearer(ADMIN), "--header", "Content-Type: application/json", "--data-binary", "@/tmp/body")
    host.check_output("head --bytes 41943041 /dev/zero > /tmp/body")
    status, _, body = fetch(host, "/api/v2/tenants", *post)
    assert status == 413
    assert "smaller batches" in json.loads(body)["message"]
    host.check_output("head --bytes 1000000 /dev/zero > /tmp/body")
    status, _, _ = fetch(host, "/api/v2/tenants", *post)
    assert status == 400


def test_health_asks_nobody_and_ready_asks_chroma(host, chroma):
    for path in ("/ready", "/api/v1/health"):
        assert fetch(host, path)[0] == 200
    chroma("stop --time 2")
    assert fetch(host, "/health")[0] == 200
    for path in ("/ready", "/api/v1/health"):
        status, _, body = fetch(host, path)
        assert status == 503
        assert json.loads(body)["status"] == "not ready"
    status, head, body = fetch(host, HEARTBEAT, *bearer(ADMIN))
    assert status == 503
    assert "retry-after" in head
    assert json.loads(body)["error"] == "InternalError"
    chroma("start")
    until_ready = "until curl --silent --insecure --fail https://127.0.0.1/ready; do sleep 0.2; done"
    host.check_output("timeout 30 sh -c %s", until_ready)


def test_every_name_is_served(host):
    assert fetch(host, "/health", "--header", "Host: 10.0.0.1")[0] == 200
    assert fetch(host, "/health", "--header", "Host: unknown.example.org")[0] == 200


@pytest.mark.parametrize(("version", "accepted"), [("1.1", False), ("1.2", True), ("1.3", True)])
def test_tls_versions(host, version, accepted):
    # The client's own security level would refuse TLS 1.1 before the server could.
    options = f"--tlsv{version} --tls-max {version} --ciphers DEFAULT@SECLEVEL=0"
    done = host.run(f"curl --silent --insecure {options} https://127.0.0.1/health")
    assert (done.rc == 0) is accepted


def test_file_modes(host):
    tokens = host.file(TOKENS)
    assert (tokens.user, tokens.group, tokens.mode) == ("root", "www-data", 0o640)
    key = host.file("/etc/nginx/tls/host.key")
    assert (key.user, key.mode) == ("root", 0o600)


def test_tokens_are_hashes_with_their_scope_and_tenants(host):
    tokens = {token["name"]: token for token in json.loads(host.file(TOKENS).content_string)}
    assert tokens["molecule-reader"] == {
        "name": "molecule-reader",
        "scope": "read",
        "tenants": ["default_tenant"],
        "sha256": hashlib.sha256(READER.encode()).hexdigest(),
    }


def test_access_log_names_the_token_and_no_secret(host, chroma):
    fetch(host, HEARTBEAT + "?for-the-log", *bearer(READER))
    lines = [json.loads(line) for line in host.file("/var/log/nginx/access.log").content_string.splitlines()]
    line = next(line for line in reversed(lines) if "for-the-log" in line["uri"])
    assert line["token"] == "molecule-reader"
    assert line["status"] == 200
    assert line["request_time"] >= 0


@pytest.mark.parametrize("token", [ADMIN, OLD_ADMIN, READER], ids=["admin", "old admin", "reader"])
def test_no_token_is_on_the_disk_or_in_the_journal(host, token):
    places = "/etc /root /home /opt /run /tmp /usr/local /var"
    found = host.run(f"grep --recursive --files-with-matches --binary-files=text --fixed-strings -e {token} {places}")
    assert found.stdout == ""
    assert token not in host.check_output("journalctl --no-pager")


def test_nginx_has_loaded_what_is_on_the_disk(host):
    loaded = json.loads(host.check_output("curl --silent --fail http://127.0.0.1:8081/loaded"))
    assert set(loaded) >= {"/etc/nginx/nginx.conf", TOKENS}
    for path, digest in loaded.items():
        assert host.file(path).sha256sum == digest


def test_a_thousand_connections(host):
    address = host.interface("eth0").addresses[0]
    connections = [socket.create_connection((address, 443), timeout=10) for _ in range(1200)]
    try:
        assert fetch(host, "/health")[0] == 200
        assert b"worker_connections are not enough" not in host.file("/var/log/nginx/error.log").content
    finally:
        for connection in connections:
            connection.close()
