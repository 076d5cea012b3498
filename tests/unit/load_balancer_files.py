"""Certificates for tests, good ones and bad ones."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM = serialization.Encoding.PEM
NOW = datetime.datetime.now(datetime.UTC)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key, password=None):
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, protection).decode()


def named(name):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def certificate(hosts, key, issuer="authority", signer=None, begins=-1, ends=30):
    """A certificate for hosts; `begins` and `ends` are days from now, and without a signer it signs itself."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(hosts[0]))
        .issuer_name(named(issuer if signer else hosts[0]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + datetime.timedelta(days=begins))
        .not_valid_after(NOW + datetime.timedelta(days=ends))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
    )
    return builder.sign(signer or key, hashes.SHA256()).public_bytes(PEM).decode()
