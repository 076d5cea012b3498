#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Request public certificates that are validated through DNS."""

from __future__ import annotations

DOCUMENTATION = r"""
module: acm_certificate_request
version_added: 0.1.0
short_description: Request a certificate that is validated through DNS
description:
  - Requests a public certificate of AWS Certificate Manager for domain names, and returns the DNS records by which AWS
    sees that the domains are yours. Make them with M(amazon.aws.route53); AWS issues and renews the certificate for as
    long as they are there.
  - A certificate for exactly these names that AWS has issued, or still may issue, is not requested again.
  - To import a certificate or to delete one, use M(community.aws.acm_certificate).
author:
  - Chroma Fleet developers
options:
  domain_names:
    description: Names that the certificate is for; the first is its subject.
    type: list
    elements: str
    required: true
    aliases: [domains]
  filter_tags:
    description: Tags that an existing certificate must carry to be taken for this one; without any, its names do.
    type: dict
    default: {}
  key_algorithm:
    description: Kind of the private key. Used for a new certificate only.
    type: str
    choices: [RSA_2048, EC_prime256v1, EC_secp384r1]
    default: RSA_2048
  wait:
    description:
      - Whether to wait until the certificate is issued. The validation records must be there already, or something else
        must make them meanwhile.
    type: bool
    default: false
  wait_timeout:
    description: How long to wait for the certificate, with O(wait) (seconds).
    type: int
    default: 900
  records_timeout:
    description: How long to wait until AWS tells the validation records of a new certificate (seconds).
    type: int
    default: 120
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Request a certificate
  chromafleet.aws.acm_certificate_request:
    domain_names: [chroma.example.com, read.chroma.example.com]
    tags:
      chromafleet:fleet: production
  register: requested

- name: Make the validation records
  amazon.aws.route53:
    zone: example.com
    record: "{{ item.record }}"
    type: "{{ item.type }}"
    ttl: 300
    value: "{{ item.value }}"
    state: present
    overwrite: true
  loop: "{{ requested.certificate.validation_records }}"

- name: Wait until the certificate is issued
  chromafleet.aws.acm_certificate_request:
    domain_names: [chroma.example.com, read.chroma.example.com]
    wait: true
"""

RETURN = r"""
certificate:
  description: The certificate. Empty in a check run that would request it.
  returned: always
  type: dict
  contains:
    arn:
      description: ARN of the certificate.
      type: str
      returned: when the certificate exists
    domain_names:
      description: Names that the certificate is for.
      type: list
      elements: str
      returned: when the certificate exists
    status:
      description: Status of the certificate.
      type: str
      returned: when the certificate exists
      sample: PENDING_VALIDATION
    tags:
      description: Tags of the certificate.
      type: dict
      returned: when the certificate exists
    validation_records:
      description: DNS records that validate the names.
      type: list
      elements: dict
      returned: when the certificate exists
      contains:
        name:
          description: The domain name that the record validates.
          type: str
        record:
          description: Name of the record.
          type: str
        status:
          description: Whether AWS has seen the record.
          type: str
          sample: SUCCESS
        type:
          description: Type of the record.
          type: str
          sample: CNAME
        value:
          description: Value of the record.
          type: str
"""

import time
import uuid
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
    compare_aws_tags,
)
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.ensure import differences, wanted_tags

Certificate = dict[str, Any]

# Between two looks at a certificate (seconds).
DELAY = 10
RECORDS_DELAY = 2
# In the order in which an existing certificate is taken.
USABLE = ("ISSUED", "PENDING_VALIDATION")
# ListCertificates names RSA_2048 only, unless it is told otherwise.
KEY_ALGORITHMS = (
    "RSA_1024",
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "EC_prime256v1",
    "EC_secp384r1",
    "EC_secp521r1",
)


class Request:
    """One certificate, as it is and as it shall be."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.module = module
        self.params = module.params
        self.names: list[str] = [name.lower() for name in module.params["domain_names"]]
        self.client = module.client("acm", retry_decorator=AWSRetry.jittered_backoff(retries=10))

    def find(self) -> Certificate | None:
        """The certificate for these names and tags; an issued one before one that waits for its validation."""
        listed = self._list()
        for status in USABLE:
            for summary in listed:
                if summary["Status"] == status and summary["DomainName"] in self.names:
                    found = self.get(summary["CertificateArn"])
                    if found and self._fits(found):
                        return found
        return None

    @AWSRetry.jittered_backoff(retries=10)
    def _list(self) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("list_certificates").paginate(
            CertificateStatuses=list(USABLE), Includes={"keyTypes": list(KEY_ALGORITHMS)}
        )
        rows = pages.build_full_result()["CertificateSummaryList"]
        return [row for row in rows if row.get("Type", "AMAZON_ISSUED") == "AMAZON_ISSUED"]

    def _fits(self, found: Certificate) -> bool:
        tags = found["tags"]
        wanted = self.params["filter_tags"]
        return set(found["domain_names"]) == set(self.names) and all(tags.get(key) == wanted[key] for key in wanted)

    def get(self, arn: str) -> Certificate | None:
        """The certificate in terms of this module, or None when it is gone or was imported."""
        try:
            found = self.client.describe_certificate(aws_retry=True, CertificateArn=arn)["Certificate"]
            tags = self.client.list_tags_for_certificate(aws_retry=True, CertificateArn=arn)["Tags"]
        except is_boto3_error_code("ResourceNotFoundException"):
            return None
        if found.get("Type") != "AMAZON_ISSUED":
            return None
        return {
            "arn": arn,
            "domain_names": found.get("SubjectAlternativeNames") or [found["DomainName"]],
            "status": found["Status"],
            "failure_reason": found.get("FailureReason", ""),
            "tags": boto3_tag_list_to_ansible_dict(tags),
            "validation_records": [
                {
                    "name": option["DomainName"],
                    "record": option["ResourceRecord"]["Name"],
                    "status": option.get("ValidationStatus", "PENDING_VALIDATION"),
                    "type": option["ResourceRecord"]["Type"],
                    "value": option["ResourceRecord"]["Value"],
                }
                for option in found.get("DomainValidationOptions", [])
                if "ResourceRecord" in option
            ],
        }

    def request(self) -> str:
        """Request it: its ARN."""
        more: dict[str, Any] = {}
        if self.names[1:]:
            more["SubjectAlternativeNames"] = self.names[1:]
        if self.params["tags"]:
            more["Tags"] = ansible_dict_to_boto3_tag_list(self.params["tags"])
        return self.client.request_certificate(
            aws_retry=True,
            DomainName=self.names[0],
            ValidationMethod="DNS",
            KeyAlgorithm=self.params["key_algorithm"],
            # For botocore's retries of this one call: a later run shall get a new certificate if this one is deleted.
            IdempotencyToken=uuid.uuid4().hex,
            **more,
        )["CertificateArn"]

    def with_records(self, arn: str) -> Certificate:
        """A new certificate once AWS tells all of its validation records, which takes it some seconds."""
        deadline = time.monotonic() + self.params["records_timeout"]
        while True:
            found = self.get(arn) or {"validation_records": []}
            if len(found["validation_records"]) == len(set(self.names)):
                return found
            if time.monotonic() >= deadline:
                self.module.fail_json(
                    msg=f"AWS did not tell the validation records of the certificate {arn} within "
                    f"{self.params['records_timeout']} seconds; run again, or raise records_timeout."
                )
            time.sleep(RECORDS_DELAY)

    def tag(self, found: Certificate, wanted: dict[str, str]) -> None:
        """Make the tags what is wanted."""
        add, remove = compare_aws_tags(found["tags"], wanted)
        if remove:
            gone = [{"Key": key} for key in remove]
            self.client.remove_tags_from_certificate(aws_retry=True, CertificateArn=found["arn"], Tags=gone)
        if add:
            self.client.add_tags_to_certificate(
                aws_retry=True, CertificateArn=found["arn"], Tags=ansible_dict_to_boto3_tag_list(add)
            )

    def wait(self, arn: str) -> Certificate:
        """The certificate when it is issued; fails with what is missing."""
        timeout = self.params["wait_timeout"]
        deadline = time.monotonic() + timeout
        while True:
            found = self.get(arn)
            if found is None:
                self.module.fail_json(msg=f"The certificate {arn} was deleted while it waited for its validation.")
            if found["status"] == "ISSUED":
                return found
            if found["status"] != "PENDING_VALIDATION":
                self.module.fail_json(msg=refusal(found), certificate=found)
            if time.monotonic() >= deadline:
                self.module.fail_json(msg=missing(found, timeout), certificate=found)
            time.sleep(min(DELAY, timeout))


def missing(found: Certificate, timeout: int) -> str:
    """The sentence for a certificate that AWS does not issue in time."""
    records = [
        f"{record['record']} {record['type']} {record['value']}"
        for record in found["validation_records"]
        if record["status"] != "SUCCESS"
    ]
    unseen = f": in the public DNS AWS does not see {' and '.join(records)}" if records else ""
    return (
        f"The certificate for {', '.join(found['domain_names'])} was not issued within {timeout} seconds{unseen}. Make "
        "sure that the domain's registrar delegates to the name servers of the hosted zone that holds the record; AWS "
        "goes on looking for 72 hours, so run again, or raise wait_timeout."
    )


def refusal(found: Certificate) -> str:
    """The sentence for a certificate that AWS will never issue."""
    reason = f" ({found['failure_reason']})" if found["failure_reason"] else ""
    hint = (
        "let the domain's CAA records allow amazon.com"
        if found["failure_reason"] == "CAA_ERROR"
        else "look the reason up in the manual of AWS Certificate Manager"
    )
    return (
        f"AWS did not issue the certificate for {', '.join(found['domain_names'])}: its status is "
        f"{found['status']}{reason}; {hint}, then run again, which requests a new one."
    )


def result_of(found: Certificate) -> Certificate:
    """The return value for a certificate."""
    return {key: value for key, value in found.items() if key != "failure_reason"}


def ensure(request: Request) -> dict[str, Any]:
    """Find the certificate or request it."""
    module = request.module
    found = request.find()
    if found is None:
        result = differences({}, {"domain_names": request.names, "tags": module.params["tags"] or {}})
        if module.check_mode:
            return {**result, "certificate": {}}
        found = request.with_records(request.request())
    else:
        tags = wanted_tags(found["tags"], module.params)
        result = differences({"tags": found["tags"]}, {"tags": tags})
        if not module.check_mode:
            request.tag(found, tags)
        found["tags"] = tags
    if module.params["wait"] and not module.check_mode and found["status"] != "ISSUED":
        found = request.wait(found["arn"])
    return {**result, "certificate": result_of(found)}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "domain_names": {"type": "list", "elements": "str", "required": True, "aliases": ["domains"]},
            "filter_tags": {"type": "dict", "default": {}},
            "key_algorithm": {
                "type": "str",
                "choices": ["RSA_2048", "EC_prime256v1", "EC_secp384r1"],
                "default": "RSA_2048",
            },
            "wait": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 900},
            "records_timeout": {"type": "int", "default": 120},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    names = module.params["domain_names"]
    if not names:
        module.fail_json(msg="domain_names is empty: name at least one domain.")
    # AWS's limit of the subject, which is the first name.
    if len(names[0]) > 64:
        module.fail_json(
            msg=f"The first of domain_names, {names[0]!r}, has {len(names[0])} characters, but the subject of a "
            "certificate takes 64: put a shorter name first."
        )
    request = Request(module)
    with aws_errors(module, f"Failed to request the certificate for {', '.join(names)}"):
        result = ensure(request)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
