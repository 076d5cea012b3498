"""The local cloud's certificate authority: for the load balancer, the registry and the cache."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from localcloud.settings import ECR_HOST, state_dir

DAYS = 90


def folder() -> Path:
    """Where the certificates are."""
    path = state_dir() / "pki"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def ca_file() -> Path:
    """What a client trusts."""
    return folder() / "ca.pem"


def ensure() -> None:
    """Make the authority, the endpoints' certificate and the registry's, once."""
    if not ca_file().exists():
        _issue("ca", [], ca=True)
    for name, hosts in {
        "endpoint": ["chroma.localhost", "read.chroma.localhost"],
        "registry": [ECR_HOST, "localhost", "127.0.0.1"],
    }.items():
        certificate(name, hosts)


def certificate(name: str, hosts: list[str]) -> tuple[Path, Path]:
    """The certificate and key files for some host names, made when they are not there."""
    pem, key = folder() / f"{name}.pem", folder() / f"{name}.key"
    if not pem.exists():
        _issue(name, hosts)
    return pem, key


def _issue(name: str, hosts: list[str], ca: bool = False) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "Chroma Fleet local cloud" if ca else hosts[0][:64])]
    )
    if ca:
        issuer, signer = subject, key
    else:
        issuer = x509.load_pem_x509_certificate(ca_file().read_bytes()).subject
        signer = serialization.load_pem_private_key((folder() / "ca.key").read_bytes(), None)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if ca:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([_san(host) for host in hosts]), critical=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(folder() / f"{name}.key", private, 0o600)
    _write(folder() / f"{name}.pem", builder.sign(signer, hashes.SHA256()).public_bytes(pem), 0o644)


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.touch(mode=mode)
    path.write_bytes(content)
