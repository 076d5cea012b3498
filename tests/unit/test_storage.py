"""The layer storage through a fleet's life, and what its buckets hold."""

from __future__ import annotations

import json
from functools import partial

import pytest
from layer_runs import run_layer

SNAPSHOTS, LOGS = "chromafleet-demo-123456789012-us-east-1", "chromafleet-demo-123456789012-us-east-1-logs"
BOOT = "chromafleet-demo-123456789012-us-east-1-boot"
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
OPTIONS = {
    "aws_storage_bucket": SNAPSHOTS,
    "aws_storage_account_id": "123456789012",
    "aws_storage_tags": {"chromafleet:fleet": "demo"},
}


@pytest.fixture
def storage(aws):
    """Run the role's entry points."""

    def run(*steps, check=False, **more):
        return run_layer(aws, "storage", {**OPTIONS, **more}, *steps, check=check)

    return run


@pytest.mark.long
def test_create_again_drift_and_mend(aws, storage):
    s3 = aws.client("s3")
    planned = storage(check=True)
    assert planned.plan == [
        f"create S3 bucket {SNAPSHOTS}",
        f"create S3 bucket {BOOT}",
        f"create S3 bucket {LOGS}",
        f"create S3 lifecycle rule {BOOT}/chromafleet",
        f"create S3 lifecycle rule {LOGS}/chromafleet",
        f"create S3 lifecycle rule {SNAPSHOTS}/chromafleet",
    ]
    assert planned.writes == []
    assert storage().code == 0
    again = storage()
    assert (again.changed, again.writes) == (0, [])

    policy = json.loads(s3.get_bucket_policy(Bucket=LOGS)["Policy"])
    delivery = next(statement for statement in policy["Statement"] if statement["Sid"] == "LoadBalancerLogs")
    assert delivery["Principal"] == {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}
    assert delivery["Resource"] == f"arn:aws:s3:::{LOGS}/AWSLogs/123456789012/*"
    assert s3.get_bucket_encryption(Bucket=LOGS)["ServerSideEncryptionConfiguration"]["Rules"][0][
        "ApplyServerSideEncryptionByDefault"
    ] == {"SSEAlgorithm": "AES256"}
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=SNAPSHOTS)["Rules"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}

    # Behind the fleet's back: snapshots would expire, uploads would stay, a tag is another, a bucket is opened.
    bad = {"ID": "bad", "Status": "Enabled", "Filter": {"Prefix": "snapshots/"}, "Expiration": {"Days": 1}}
    rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 70}
    s3.put_bucket_lifecycle_configuration(Bucket=SNAPSHOTS, LifecycleConfiguration={"Rules": [rule, bad]})
    s3.put_bucket_tagging(
        Bucket=LOGS, Tagging={"TagSet": [{"Key": "chromafleet:fleet", "Value": "demo"}, {"Key": "by", "Value": "hand"}]}
    )
    s3.delete_public_access_block(Bucket=SNAPSHOTS)
    drifted = storage(check=True)
    assert [row.split(" ")[0:5] for row in drifted.plan] == [
        ["change", "S3", "bucket", SNAPSHOTS, "public_access:"],
        ["change", "S3", "bucket", LOGS, "tags:"],
        ["change", "S3", "lifecycle", "rule", f"{SNAPSHOTS}/chromafleet"],
        ["destroy", "S3", "lifecycle", "rule", f"{SNAPSHOTS}/bad"],
    ]
    assert drifted.writes == []
    assert storage().code == 0
    assert storage(check=True).plan == []


@pytest.mark.long
def test_a_key_and_back(aws, storage):
    assert storage(aws_storage_kms_key_arn=KEY).code == 0
    s3 = aws.client("s3")
    (rule,) = s3.get_bucket_encryption(Bucket=SNAPSHOTS)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    assert rule["BucketKeyEnabled"]
    assert storage(check=True, aws_storage_kms_key_arn=KEY).plan == []
    assert storage().code == 0
    assert storage(check=True).plan == []


def test_without_access_logs_a_bucket_that_is_there_stays(storage):
    assert storage().code == 0
    assert storage(check=True, aws_storage_access_logs=False).plan == []


@pytest.mark.long
def test_destroy_refuses_what_is_not_empty_then_empties_it(aws, storage):
    s3 = aws.client("s3")
    for body in (b"1", b"2", b"3"):
        s3.put_object(Bucket=SNAPSHOTS, Key="kept", Body=body)
    s3.put_object(Bucket=SNAPSHOTS, Key="deleted", Body=b"1")
    s3.delete_object(Bucket=SNAPSHOTS, Key="deleted")
    # What is made anew by each run of site.yml is nothing to miss.
    s3.put_object(Bucket=BOOT, Key="release.tar.gz", Body=b"1")
    for entry in ("check_destroy", "destroy"):
        refused = storage(entry)
        assert refused.code == 2
        said = " ".join(refused.output.split())
        assert f"The bucket {SNAPSHOTS} holds 1 object, 3 older versions and 1 delete marker. None of it" in said
        assert "set aws_storage_empty_buckets to true" in said
        assert refused.writes == []
    allowed = {"aws_storage_empty_buckets": True}
    assert storage("check_destroy", **allowed).code == 0
    planned = storage("destroy", check=True, **allowed)
    assert planned.plan == [f"destroy S3 bucket {name}" for name in (SNAPSHOTS, BOOT, LOGS)]
    assert planned.writes == []
    assert storage("destroy", **allowed).code == 0
    assert s3.list_buckets()["Buckets"] == []
    again = storage("check_destroy", "destroy")
    assert (again.code, again.changed, again.writes) == (0, 0, [])


# --- What buckets hold ------------------------------------------------------------------------------------------------


@pytest.fixture
def held(run_module):
    """Run s3_versions_info."""
    return partial(run_module, "s3_versions_info")


def test_an_empty_bucket_and_none_hold_nothing(held, empty_account):
    empty_account("s3").create_bucket(Bucket="empty")
    result = held(names=["empty", "none"])
    assert not result["changed"]
    assert [bucket["says"] for bucket in result["buckets"]] == ["", ""]


def test_what_is_counted_over_several_pages(held, empty_account):
    s3 = empty_account("s3")
    s3.create_bucket(Bucket="full")
    s3.put_bucket_versioning(Bucket="full", VersioningConfiguration={"Status": "Enabled"})
    for number in range(1001):
        s3.put_object(Bucket="full", Key=f"{number:04d}", Body=b"")
    s3.put_object(Bucket="full", Key="1000", Body=b"")
    s3.delete_object(Bucket="full", Key="0000")
    s3.delete_object(Bucket="full", Key="0001")
    (counted,) = held(names=["full"])["buckets"]
    assert counted["says"] == "full holds 999 objects, 3 older versions and 2 delete markers"
    (begun,) = held(names=["full"], limit=1000)["buckets"]
    assert not begun["complete"]
    assert begun["says"].startswith("full holds at least ")
