"""Certificate Manager."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.acm import models

from localcloud.patches import Client, restores


@restores("An imported certificate comes back with the chain that was imported")
def imported_chain() -> None:
    stock = models.CertBundle.__init__

    def init(
        self: Any, account_id: str, certificate: bytes, private_key: bytes, chain: Any = None, **more: Any
    ) -> None:
        stock(self, account_id, certificate, private_key, chain, **more)
        if self.type == "IMPORTED":
            self.chain = chain or certificate

    models.CertBundle.__init__ = init


@imported_chain.shown_by
def _imported_chain(client: Client) -> bool:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "probe")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    acm = client("acm")
    arn = acm.import_certificate(Certificate=certificate, PrivateKey=pem, CertificateChain=certificate)[
        "CertificateArn"
    ]
    return acm.get_certificate(CertificateArn=arn)["CertificateChain"].strip() == certificate.decode().strip()
