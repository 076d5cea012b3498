"""What a new instance makes itself from: packed the same for the same files, uploaded when they differ."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest
from ansible_runs import ROOT

BUCKET = "chromafleet-demo-123456789012-us-east-1-boot"
SECRET = "never-in-an-archive"


@pytest.fixture
def given(tmp_path):
    """A collection and an inventory, as the module gets them."""
    collection, shared, inventory = tmp_path / "collection", tmp_path / "shared", tmp_path / "inventories/demo"
    for path, text in {
        collection / "roles/nginx/tasks/main.yml": "---\n",
        collection / "plugins/modules/one.py": "print(1)\n",
        collection / "plugins/modules/__pycache__/one.cpython-311.pyc": "x",
        collection / "tests/secret.txt": SECRET,
        shared / "common.yml": "fleet_name: demo\n",
        inventory / "hosts.aws_ec2.yml": f"secret_key: {SECRET}\n",
        inventory / "group_vars/fleet/10_connection.yml": "ansible_user: admin\n",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (inventory / "group_vars/all").mkdir()
    (inventory / "group_vars/all/00_common.yml").symlink_to(shared / "common.yml")
    return {
        "bucket": BUCKET,
        "collections": ["chromafleet.aws"],
        "directories": {"chromafleet.aws": str(collection)},
        "inventory": str(inventory),
        "variables": {"node": {"hardening_ssh": True}, "localhost": {}},
    }


def unpacked(s3):
    """The archive's files: name -> text."""
    body = s3.get_object(Bucket=BUCKET, Key="release.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(body))) as tar:
        return {entry.name: tar.extractfile(entry).read().decode() for entry in tar}


def test_what_is_in_it(run_module, empty_account, given):
    s3 = empty_account("s3")
    s3.create_bucket(Bucket=BUCKET)
    result = run_module("publish_release", **given)
    assert result["changed"]
    files = unpacked(s3)
    assert files.keys() == {
        "ansible_collections/chromafleet/aws/plugins/modules/one.py",
        "ansible_collections/chromafleet/aws/roles/nginx/tasks/main.yml",
        "inventory/group_vars/all/00_common.yml",
        "inventory/group_vars/fleet/10_connection.yml",
        "release.json",
    }
    assert files["inventory/group_vars/all/00_common.yml"] == "fleet_name: demo\n"
    assert json.loads(files["release.json"])["node"] == {"hardening_ssh": True}
    assert SECRET not in "".join(files.values())


def test_the_same_is_not_uploaded_again(run_module, empty_account, given, tmp_path):
    s3 = empty_account("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def versions():
        return len(s3.list_object_versions(Bucket=BUCKET).get("Versions", []))

    first = run_module("publish_release", **given)
    again = run_module("publish_release", **given)
    assert (again["changed"], again["digest"], versions()) == (False, first["digest"], 1)
    (tmp_path / "shared/common.yml").write_text("fleet_name: other\n")
    planned = run_module("publish_release", check=True, **given)
    assert (planned["changed"], versions()) == (True, 1)
    assert planned["diff"] == {"before": {"digest": first["digest"]}, "after": {"digest": planned["digest"]}}
    assert run_module("publish_release", **given)["digest"] == planned["digest"]
    assert versions() == 2


def test_a_plan_of_an_empty_account(run_module, empty_account, given):
    empty_account("s3")
    assert run_module("publish_release", check=True, **given)["changed"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, f"s3://{BUCKET}/release.tar.gz"),
        ({"inventory": "/none"}, 'inventory is "/none", which is no directory'),
    ],
)
def test_what_goes_wrong(run_module, empty_account, given, change, sentence):
    """Without a bucket, and without an inventory."""
    empty_account("s3")
    result = run_module("publish_release", **{**given, **change})
    assert result["failed"]
    assert sentence in result["msg"]


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Publish
      chromafleet.aws.publish_release:
        bucket: bucket
        inventory: {inventory}
        collections: [{collection}]
        region: us-east-1
        endpoint_url: {api}
        access_key: local
        secret_key: local
      check_mode: true
      register: published
    - name: Tell
      ansible.builtin.debug:
        msg: "{{{{ published.files }}}} files"
"""


def test_collections_are_found_where_ansible_finds_them(play, moto_api, given):
    text = PLAY.format(inventory=given["inventory"], collection="chromafleet.aws", api=moto_api)
    done = play(text, "-e", f"token={SECRET}")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 0, said
    files = sum(1 for part in ("meta", "playbooks", "plugins", "roles") for path in (ROOT / part).rglob("*")
                if path.is_file() and path.suffix != ".pyc")  # fmt: skip
    assert f"{files + 3} files" in said
    # What the command line gave is named, and no value of it.
    assert "A new instance will not have what the command line gave (token)" in said
    assert SECRET not in said


def test_a_collection_that_is_not_there(play, moto_api, given):
    done = play(PLAY.format(inventory=given["inventory"], collection="none.such", api=moto_api))
    assert done.returncode == 2
    assert "The collection none.such is not installed" in done.stdout + done.stderr


def test_an_earlier_one_again(run_module, empty_account, given, tmp_path):
    s3 = empty_account("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = run_module("publish_release", **given)
    (tmp_path / "shared/common.yml").write_text("fleet_name: other\n")
    second = run_module("publish_release", **given)
    assert first["version"] != second["version"]
    assert run_module("publish_release", check=True, bucket=BUCKET, version=first["version"])["changed"]
    back = run_module("publish_release", bucket=BUCKET, version=first["version"])
    assert (back["changed"], back["digest"]) == (True, first["digest"])
    assert unpacked(s3)["inventory/group_vars/all/00_common.yml"] == "fleet_name: demo\n"
    again = run_module("publish_release", bucket=BUCKET, version=first["version"])
    assert (again["changed"], again["version"]) == (False, back["version"])


def test_a_version_that_is_gone_is_one_sentence(run_module, empty_account):
    s3 = empty_account("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    said = run_module("publish_release", bucket=BUCKET, version="3sL4kqtJlcpXroDTDmJ")["msg"]
    assert said.startswith(f"s3://{BUCKET}/release.tar.gz has no version 3sL4kqtJlcpXroDTDmJ: name one that was")
