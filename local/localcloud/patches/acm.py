"""Certificate Manager."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.acm import models
from moto.core.utils import utcnow
from moto.route53.models import route53_backends

from localcloud.patches import Client, restores
from localcloud.settings import ACCOUNT_ID


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


@restores("A requested certificate is issued when its validation records are in a hosted zone, and not before")
def issued_by_records() -> None:
    stock = models.CertBundle.check

    def check(self: Any) -> None:
        pending = self.type == "AMAZON_ISSUED" and self.status == "PENDING_VALIDATION"
        created = self.created_at
        if pending:
            # The stock one issues it when it is a minute old.
            self.created_at = utcnow()
        stock(self)
        self.created_at = created
        if pending and _validated(self):
            self.status = "ISSUED"

    models.CertBundle.check = check


def _validated(certificate: Any) -> bool:
    zones = route53_backends[ACCOUNT_ID]["aws"].zones.values()
    there = {row.name.rstrip(".") for zone in zones for row in zone.rrsets if row.type == "CNAME"}
    options = certificate.describe()["Certificate"]["DomainValidationOptions"]
    return all(option["ResourceRecord"]["Name"].rstrip(".") in there for option in options)


@issued_by_records.shown_by
def _issued_by_records(client: Client) -> bool:
    acm, route53 = client("acm"), client("route53")
    arn = acm.request_certificate(DomainName="probe.test", ValidationMethod="DNS")["CertificateArn"]
    before = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    zone = route53.create_hosted_zone(Name="probe.test", CallerReference="probe")["HostedZone"]["Id"]
    record = before["DomainValidationOptions"][0]["ResourceRecord"]
    row = {"Name": record["Name"], "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": record["Value"]}]}
    changes = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": row}]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)
    after = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    return (before["Status"], after["Status"]) == ("PENDING_VALIDATION", "ISSUED")
