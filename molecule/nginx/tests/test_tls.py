"""What the endpoint offers, and what is said about the configuration, in the eyes of tools that look for weaknesses."""

import json
import re
import subprocess
import sys
from pathlib import Path

import sslyze
import yaml

DEFAULTS = yaml.safe_load((Path(__file__).parents[3] / "roles/nginx/defaults/main.yml").read_text())
# Every cipher suite that may be accepted, by protocol; a protocol that is not here is refused.
SUITES = {
    "TLS 1.2": {
        f"TLS_ECDHE_ECDSA_WITH_{suite}"
        for suite in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
    },
    "TLS 1.3": {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"},
}
PROTOCOLS = {
    "SSL 2.0": "ssl_2_0_cipher_suites",
    "SSL 3.0": "ssl_3_0_cipher_suites",
    "TLS 1.0": "tls_1_0_cipher_suites",
    "TLS 1.1": "tls_1_1_cipher_suites",
    "TLS 1.2": "tls_1_2_cipher_suites",
    "TLS 1.3": "tls_1_3_cipher_suites",
}


def test_no_weak_protocol_or_cipher(address):
    where = sslyze.ServerNetworkLocation(hostname="chroma.example.com", port=443, ip_address=address)
    scanner = sslyze.Scanner()
    scanner.queue_scans([sslyze.ServerScanRequest(server_location=where)])
    (done,) = scanner.get_results()
    found = {name: getattr(done.scan_result, attempt).result for name, attempt in PROTOCOLS.items()}
    accepted = {
        name: {suite.cipher_suite.name for suite in result.accepted_cipher_suites} for name, result in found.items()
    }
    assert accepted == {name: SUITES.get(name, set()) for name in PROTOCOLS}
    scan = done.scan_result
    assert not scan.heartbleed.result.is_vulnerable_to_heartbleed
    assert not scan.openssl_ccs_injection.result.is_vulnerable_to_ccs_injection
    assert not scan.tls_compression.result.supports_compression
    assert not scan.tls_1_3_early_data.result.supports_early_data
    assert not scan.session_renegotiation.result.is_vulnerable_to_client_renegotiation_dos


def test_gixy_finds_nothing(host, tmp_path):
    written = host.file("/etc/nginx/nginx.conf").content_string
    # The one line that is not as on EC2: a container may have fewer files open.
    files = f"worker_rlimit_nofile {DEFAULTS['nginx_open_files']};"
    as_by_default = re.sub(r"(?m)^worker_rlimit_nofile 20000;$", files, written)
    assert as_by_default != written
    (tmp_path / "nginx.conf").write_text(as_by_default)
    gixy = [Path(sys.executable).with_name("gixy"), "--disable-includes", "--format", "json", tmp_path / "nginx.conf"]
    done = subprocess.run(gixy, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout) == []
    assert done.returncode == 0
