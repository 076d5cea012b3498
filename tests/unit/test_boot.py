"""What a new instance does by itself: its user data, and the command in it."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import subprocess
import tarfile
from email import message_from_string

import pytest
import yaml
from ansible_runs import ROOT
from localcloud.patches import _probe

ROLE = ROOT / "roles/aws_fleet"
SETTINGS = {
    "bucket": "demo-boot",
    "region": "us-east-1",
    "endpoint_url": "",
    "fleet": "demo",
    "cell": "main",
    "role": "writer",
}
IDENTITY = {"instanceId": "i-0123456789abcdef0", "availabilityZone": "us-east-1b", "privateIp": "10.42.0.9"}


@pytest.fixture(scope="module")
def boot():
    spec = importlib.util.spec_from_file_location("boot", ROLE / "files/chromafleet-boot.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parts(play, tmp_path):
    """The parts of the user data, with some of a user's own."""
    names = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    own = ("__aws_fleet_writer_user_data", "__aws_fleet_boot")
    known = {name: names[name] for name in own} | {
        "aws_fleet_user_data": "#cloud-config\npackages: [tree]\n",
        "aws_fleet_boot_bucket": SETTINGS["bucket"],
        "aws_fleet_region": SETTINGS["region"],
        "aws_fleet_endpoint_url": "",
        "aws_fleet_name": "demo",
        "aws_fleet_cell": "main",
    }
    tasks = [
        {"name": "Write", "ansible.builtin.copy": {"dest": str(tmp_path / "data"), "mode": "0600",
                                                   "content": "{{ __aws_fleet_writer_user_data }}"}},
    ]  # fmt: skip
    for folder in ("templates", "files"):
        (tmp_path / folder).symlink_to(ROLE / folder)
    done = play(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": known, "tasks": tasks}]))
    assert done.returncode == 0, done.stdout
    return [part.get_payload() for part in message_from_string((tmp_path / "data").read_text()).get_payload()]


def test_user_data(parts):
    users, ours = parts
    assert yaml.safe_load(users) == {"packages": ["tree"]}
    assert subprocess.run(["sh", "-n"], input=ours, text=True, check=False).returncode == 0
    settings, script, unit = (text.split("<<'EOF'\n")[1] for text in ours.split("\nEOF\n")[:3])
    assert json.loads(settings) == SETTINGS
    assert script.strip() == (ROLE / "files/chromafleet-boot.py").read_text().strip()
    assert "ConditionPathExists=!/var/lib/chromafleet/boot/done" in unit
    assert len(ours) < 10000


def test_no_release_yet(boot, empty_account, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    ssm = empty_account("ssm")
    ssm.put_parameter(Name="/chromafleet/demo/other/release", Type="String", Value='{"version": "other"}')
    assert boot.released(SETTINGS) == ""
    said = capsys.readouterr().out
    assert "demo/main has no release yet: site.yml configures this instance." in said
    ssm.put_parameter(Name="/chromafleet/demo/main/release", Type="String", Value='{"version": "v1"}')
    assert boot.released(SETTINGS) == "v1"


def test_a_group_may_try_another_release(boot, empty_account, monkeypatch):
    """The other groups of the cell go on with what it runs."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    ssm = empty_account("ssm")
    ssm.put_parameter(Name="/chromafleet/demo/main/release", Type="String", Value='{"version": "v1"}')
    candidate = {"version": "v2", "group": "demo-main-green"}
    ssm.put_parameter(Name="/chromafleet/demo/main/candidate", Type="String", Value=json.dumps(candidate))
    (instance,) = _probe.group(empty_account, 1)
    monkeypatch.setattr(boot, "metadata", lambda _path: json.dumps({"instanceId": instance["InstanceId"]}))
    assert boot.group(SETTINGS) == "probe"
    assert boot.released(SETTINGS) == "v1"
    candidate["group"] = "probe"
    ssm.put_parameter(
        Name="/chromafleet/demo/main/candidate", Type="String", Value=json.dumps(candidate), Overwrite=True
    )
    assert boot.released(SETTINGS) == "v2"


def test_the_release_is_what_the_record_says_and_not_what_was_uploaded_last(boot, empty_account, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    s3 = empty_account("s3")
    s3.create_bucket(Bucket=SETTINGS["bucket"])
    s3.put_bucket_versioning(Bucket=SETTINGS["bucket"], VersioningConfiguration={"Status": "Enabled"})
    place = {"Bucket": SETTINGS["bucket"], "Key": "release.tar.gz"}
    first = s3.put_object(**place, Body=b"first")["VersionId"]
    s3.put_object(**place, Body=b"second")
    assert boot.download(SETTINGS, first) == b"first"


def test_nothing_of_a_release_before_stays(boot, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("inventory/group_vars/all.yml")
        tar.addfile(entry, io.BytesIO())
    place = tmp_path / "release"
    (place / "old").mkdir(parents=True)
    boot.unpack(gzip.compress(packed.getvalue()), place)
    assert [path.name for path in place.iterdir()] == ["inventory"]
    assert (place / "inventory/group_vars/all.yml").is_file()
    outside = io.BytesIO()
    with tarfile.open(fileobj=outside, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(subprocess.CalledProcessError):
        boot.unpack(gzip.compress(outside.getvalue()), place)
    assert not (tmp_path / "outside").exists()


def test_the_host_is_what_the_controllers_inventory_says(boot):
    """In the same groups, with the same variables, reached otherwise."""
    release = {"node": {"hardening_ssh": False}, "localhost": {"aws_registry_references": {"chroma": "x@sha256:1"}}}
    found = boot.inventory(SETTINGS, release, IDENTITY)["all"]
    assert found["hosts"] == {"localhost": release["localhost"]}
    host = IDENTITY["instanceId"]
    assert {name: list(group["hosts"]) for name, group in found["children"].items()} == {
        "fleet": [host],
        "writer": [host],
        "cell_main": [host],
    }
    node = found["children"]["fleet"]["hosts"][host]
    assert node["ansible_connection"] == "local"
    assert node["hardening_ssh"] is False
    assert node["ec2_placement"] == {"availability_zone": "us-east-1b"}
    tags = yaml.safe_load((ROOT / "inventories/production/hosts.aws_ec2.yml").read_text())["keyed_groups"]
    assert {key["key"] for key in tags} == {f"ec2_tags['chromafleet:{name}']" for name in ("role", "cell")}
    assert node["ec2_tags"] == {f"chromafleet:{name}": SETTINGS[name] for name in ("fleet", "cell", "role")}
