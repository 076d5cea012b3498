"""The module `acm_certificate_request`, run in this process against moto and against recorded answers."""

from __future__ import annotations

from functools import partial

import pytest
from botocore.stub import ANY

NAMES = ["chroma.example.com", "read.chroma.example.com"]
TAGS = {"chromafleet:fleet": "production"}
ARN = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0000-0000-0000-000000000000"


@pytest.fixture
def run(run_module):
    """Run the module with some arguments and return its result."""
    return partial(run_module, "acm_certificate_request")


@pytest.fixture
def account(empty_account):
    """An empty account."""
    return empty_account("acm")


def arns(client):
    return [row["CertificateArn"] for row in client.list_certificates()["CertificateSummaryList"]]


def test_requests_once_and_tells_the_records(run, account):
    first = run(domain_names=NAMES, tags=TAGS)
    assert first["changed"]
    assert first["diff"]["after"] == {"domain_names": NAMES, "tags": TAGS}
    made = first["certificate"]
    assert (made["status"], made["tags"], sorted(made["domain_names"])) == ("PENDING_VALIDATION", TAGS, NAMES)
    assert sorted(record["name"] for record in made["validation_records"]) == NAMES
    assert {record["type"] for record in made["validation_records"]} == {"CNAME"}
    second = run(domain_names=NAMES, tags=TAGS)
    assert not second["changed"]
    assert second["certificate"]["arn"] == made["arn"]
    assert arns(account) == [made["arn"]]


def test_check_mode_requests_and_tags_nothing(run, account):
    result = run(check=True, domain_names=NAMES, tags=TAGS)
    assert result["changed"]
    assert result["certificate"] == {}
    assert arns(account) == []
    arn = run(domain_names=NAMES, tags=TAGS)["certificate"]["arn"]
    assert run(check=True, domain_names=NAMES, tags={"a": "b"})["changed"]
    assert account.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [
        {"Key": "chromafleet:fleet", "Value": "production"}
    ]


def test_other_names_and_tags_are_another_certificate(run, account):
    run(domain_names=NAMES, tags=TAGS)
    assert run(domain_names=NAMES[:1])["changed"]
    other = {"chromafleet:fleet": "staging"}
    assert run(domain_names=NAMES, tags=other, filter_tags=other)["changed"]
    assert not run(domain_names=list(reversed(NAMES)), tags=other, filter_tags=other)["changed"]
    assert len(arns(account)) == 3


def test_tags_are_made_what_is_wanted(run, account):
    run(domain_names=NAMES, tags={"old": "1", **TAGS})
    result = run(domain_names=NAMES, tags={"new": "2", **TAGS}, filter_tags=TAGS)
    assert result["diff"] == {"before": {"tags": {"old": "1", **TAGS}}, "after": {"tags": {"new": "2", **TAGS}}}
    assert result["certificate"]["tags"] == {"new": "2", **TAGS}
    assert not run(domain_names=NAMES, tags={"new": "2", **TAGS})["changed"]
    assert not run(domain_names=NAMES, tags=TAGS, purge_tags=False)["changed"]
    (arn,) = arns(account)
    found = account.list_tags_for_certificate(CertificateArn=arn)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in found} == {"new": "2", **TAGS}


def test_bad_names_are_one_sentence(run, account):
    assert run(domain_names=[])["msg"] == "domain_names is empty: name at least one domain."
    said = run(domain_names=["c" * 60 + ".org"])
    assert "has 64 characters" not in said.get("msg", "")
    said = run(domain_names=["c" * 61 + ".org"])
    assert "has 65 characters, but the subject of a certificate takes 64: put a shorter name first." in said["msg"]


# --- Against recorded answers: states that moto doesn't have --------------------------------------------------------


@pytest.fixture
def answers(record):
    """AWS's answers, in the order in which the module asks."""
    return record("acm")


def summary(status):
    return {"CertificateArn": ARN, "DomainName": NAMES[0], "Status": status, "Type": "AMAZON_ISSUED"}


def listed(stubber, *summaries):
    asked = {"CertificateStatuses": ["ISSUED", "PENDING_VALIDATION"], "Includes": ANY}
    stubber.add_response("list_certificates", {"CertificateSummaryList": list(summaries)}, asked)


def described(stubber, status, seen=(), records=True, **more):
    options = [
        {
            "DomainName": name,
            "ValidationStatus": "SUCCESS" if name in seen else "PENDING_VALIDATION",
            **({"ResourceRecord": {"Name": f"_x.{name}.", "Type": "CNAME", "Value": "_y.aws."}} if records else {}),
        }
        for name in NAMES
    ]
    certificate = {
        "CertificateArn": ARN,
        "DomainName": NAMES[0],
        "SubjectAlternativeNames": NAMES,
        "Status": status,
        "Type": "AMAZON_ISSUED",
        "DomainValidationOptions": options,
        **more,
    }
    stubber.add_response("describe_certificate", {"Certificate": certificate}, {"CertificateArn": ARN})
    stubber.add_response("list_tags_for_certificate", {"Tags": [{"Key": "a", "Value": "b"}]}, {"CertificateArn": ARN})


def test_waits_for_the_records_of_a_new_certificate(run, answers):
    listed(answers)
    asked = {
        "DomainName": NAMES[0],
        "SubjectAlternativeNames": NAMES[1:],
        "ValidationMethod": "DNS",
        "KeyAlgorithm": "RSA_2048",
        "IdempotencyToken": ANY,
    }
    answers.add_response("request_certificate", {"CertificateArn": ARN}, asked)
    described(answers, "PENDING_VALIDATION", records=False)
    described(answers, "PENDING_VALIDATION")
    assert len(run(domain_names=NAMES)["certificate"]["validation_records"]) == 2


def test_says_when_there_are_no_records(run, answers):
    listed(answers)
    answers.add_response("request_certificate", {"CertificateArn": ARN})
    described(answers, "PENDING_VALIDATION", records=False)
    said = run(domain_names=NAMES, records_timeout=0)
    assert "did not tell the validation records" in said["msg"]


def test_waits_until_it_is_issued(run, answers):
    listed(answers, summary("PENDING_VALIDATION"))
    described(answers, "PENDING_VALIDATION")
    described(answers, "PENDING_VALIDATION", seen=NAMES)
    described(answers, "ISSUED", seen=NAMES)
    result = run(domain_names=NAMES, wait=True)
    assert (result["changed"], result["certificate"]["status"]) == (False, "ISSUED")


def test_an_issued_one_is_taken_before_one_that_waits(run, answers):
    waiting = {**summary("PENDING_VALIDATION"), "CertificateArn": ARN.replace("0a", "1b")}
    listed(answers, waiting, summary("ISSUED"))
    described(answers, "ISSUED", seen=NAMES)
    assert run(domain_names=NAMES, wait=True)["certificate"]["arn"] == ARN


def test_names_the_record_that_is_missing(run, answers):
    listed(answers, summary("PENDING_VALIDATION"))
    described(answers, "PENDING_VALIDATION")
    described(answers, "PENDING_VALIDATION", seen=NAMES[:1])
    said = run(domain_names=NAMES, wait=True, wait_timeout=0)["msg"]
    assert f"was not issued within 0 seconds: in the public DNS AWS does not see _x.{NAMES[1]}. CNAME _y.aws.." in said
    assert f"_x.{NAMES[0]}." not in said.replace(f"_x.{NAMES[1]}.", "")
    assert "the domain's registrar delegates to the name servers of the hosted zone" in said


def test_tells_why_it_is_refused(run, answers):
    listed(answers, summary("PENDING_VALIDATION"))
    described(answers, "PENDING_VALIDATION")
    described(answers, "FAILED", FailureReason="CAA_ERROR")
    said = run(domain_names=NAMES, wait=True)["msg"]
    assert "its status is FAILED (CAA_ERROR); let the domain's CAA records allow amazon.com" in said


def test_an_error_of_aws_is_told(run, answers):
    answers.add_client_error("list_certificates", "AccessDeniedException", "No.")
    said = run(domain_names=NAMES)["msg"]
    assert said.startswith(f"Failed to request the certificate for {', '.join(NAMES)}")
