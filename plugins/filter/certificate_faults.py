# SPDX-License-Identifier: Apache-2.0
"""The filter `certificate_faults`."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
except ImportError:
    x509 = None  # said when the filter is used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENTATION = r"""
name: certificate_faults
short_description: What is wrong with a certificate that shall be imported for some host names
description:
  - Returns a sentence for a file that is missing or holds something else, a key that belongs to another certificate, a
    chain that did not sign it, a certificate that has expired or is not valid yet, and host names that it is not for.
author:
  - Chroma Fleet developers (@chromafleet)
requirements:
  - the Python package cryptography on the controller
positional: hosts
options:
  _input:
    description:
      - The files, as C(certificate), C(key) and C(chain); each with the C(variable) that names it, its C(path) and its
        content C(pem), which is empty when the file is missing.
      - Without a C(path), C(chain) is not looked at.
    type: dict
    required: true
  hosts:
    description: The host names that the certificate must be for.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say what is wrong with a certificate
  ansible.builtin.debug:
    msg: "{{ files | chromafleet.aws.certificate_faults(['chroma.example.com']) }}"
  vars:
    files:
      certificate: {variable: certificate_file, path: a.pem, pem: "{{ lookup('ansible.builtin.file', 'a.pem') }}"}
      key: {variable: key_file, path: a.key, pem: "{{ lookup('ansible.builtin.file', 'a.key') }}"}
      chain: {variable: chain_file, path: "", pem: ""}
"""

RETURN = r"""
_value:
  description: The sentences; empty when nothing is wrong.
  type: list
  elements: str
"""

File = dict[str, str]


def named(file: File) -> str:
    """How a sentence begins."""
    return f"{file['variable']} is {file['path']!r}, "


def certificates_of(file: File) -> list[Any]:
    """The certificates of a file; none when it is no PEM."""
    try:
        return x509.load_pem_x509_certificates(file["pem"].encode())
    except ValueError:
        return []


def faults_of(certificate: Any, file: File, hosts: list[str]) -> Iterator[str]:
    """What is wrong with the certificate itself."""
    now = datetime.datetime.now(datetime.UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends < now:
        yield f"{named(file)}which expired on {ends:%Y-%m-%d}: renew it."
    if begins > now:
        yield f"{named(file)}which is valid only from {begins:%Y-%m-%d %H:%M} UTC on: check its dates or the clock."
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    missing = [host for host in hosts if not any(covers(name, host) for name in names)]
    if missing:
        yield (
            f"{named(file)}which is for {', '.join(names) or 'no host name'}, but not for {' and '.join(missing)}: "
            "take one whose subject alternative names hold both endpoints."
        )


def covers(name: str, host: str) -> bool:
    """Whether a name of a certificate is a host's; a wildcard stands for one label."""
    name, host = name.lower(), host.lower()
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])


def key_faults(certificate: Any, file: File) -> Iterator[str]:
    """What is wrong with the private key."""
    try:
        key = serialization.load_pem_private_key(file["pem"].encode(), None)
    except TypeError:
        yield f"{named(file)}whose key has a passphrase, which AWS doesn't take: remove it with `openssl pkey`."
        return
    except ValueError:
        yield f"{named(file)}which is missing or holds no private key (PEM): name the certificate's key."
        return
    if key.public_key() != certificate.public_key():
        yield f"{named(file)}whose key belongs to another certificate: name the one that the certificate was made with."


def chain_faults(certificate: Any, file: File) -> Iterator[str]:
    """What is wrong with the chain."""
    chain = certificates_of(file)
    if not chain:
        yield f"{named(file)}which is missing or holds no certificate (PEM): name the chain, or set it to ''."
        return
    try:
        certificate.verify_directly_issued_by(chain[0])
    except (InvalidSignature, ValueError, TypeError):
        yield (
            f"{named(file)}whose first certificate did not sign the endpoints' one: name the authorities' "
            "certificates, beginning with the one that signed it."
        )


def certificate_faults(files: dict[str, File], hosts: list[str]) -> list[str]:
    """All sentences."""
    if x509 is None:
        raise AnsibleFilterError(
            "Certificates are checked with the Python package cryptography, which this machine lacks: "
            "run `pip install cryptography`."
        )
    certificates = certificates_of(files["certificate"])
    if not certificates:
        begin = named(files["certificate"])
        return [f"{begin}which is missing or holds no certificate (PEM): name the endpoints' certificate."]
    certificate = certificates[0]
    said = [*faults_of(certificate, files["certificate"], hosts), *key_faults(certificate, files["key"])]
    if files["chain"]["path"]:
        said += chain_faults(certificate, files["chain"])
    return said


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """The filters of this file."""
        return {"certificate_faults": certificate_faults}
