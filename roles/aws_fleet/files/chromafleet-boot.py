#!/usr/bin/python3
"""Makes a new instance a node of the fleet, as the last site.yml has made the others.

Downloads what that run published, and runs its playbook boot.yml for this host. The unit chromafleet-boot starts it
until it succeeds once; `journalctl -u chromafleet-boot` tells what it does. On a fleet's first instances there is
nothing yet: site.yml configures them.

With a version of the archive as its argument it makes an instance what that one says: the way back after an update.
"""

import http.client
import json
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SETTINGS = Path("/etc/chromafleet/boot.json")
HOME = Path("/var/lib/chromafleet/boot")
DONE = HOME / "done"
#: Debian releases.
TOO_OLD = ("11", "12")
CLIENT = ["python3-boto3"]
ANSIBLE = ["ansible-core", "python3-jsonschema", "python3-netaddr"]


def apt(*arguments: str) -> None:
    """Debian's own packages: they are kept up to date with the rest of it."""
    subprocess.run(
        ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env={"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def install(packages: list[str]) -> None:
    """Of the lists that were fetched."""
    apt("install", "--yes", "--no-install-recommends", *packages)


def metadata(path: str) -> str:
    """What the metadata service says of this instance."""
    service = http.client.HTTPConnection("169.254.169.254", timeout=10)
    service.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    token = service.getresponse().read().decode()
    service.request("GET", f"/latest/{path}", headers={"X-aws-ec2-metadata-token": token})
    return service.getresponse().read().decode()


def aws(settings: dict, service: str) -> Any:
    """A client; boto3 is installed by this very command."""
    import boto3

    return boto3.client(service, region_name=settings["region"], endpoint_url=settings["endpoint_url"] or None)


def noted(settings: dict, what: str) -> dict:
    """A record of the cell in Systems Manager; empty where there is none."""
    ssm = aws(settings, "ssm")
    name = f"/chromafleet/{settings['fleet']}/{settings['cell']}/{what}"
    try:
        return json.loads(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return {}


def group(settings: dict) -> str:
    """The auto-scaling group of this instance."""
    instance = json.loads(metadata("dynamic/instance-identity/document"))["instanceId"]
    found = aws(settings, "autoscaling").describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"]
    return found[0]["AutoScalingGroupName"] if found else ""


def released(settings: dict) -> str:
    """Which version of the archive this instance shall run; empty where none was released yet.

    What the others of its cell run, unless it is one of a group that tries another release.
    """
    candidate = noted(settings, "candidate")
    if candidate and candidate["group"] == group(settings):
        return candidate["version"]
    release = noted(settings, "release")
    if not release:
        print(f"{settings['fleet']}/{settings['cell']} has no release yet: site.yml configures this instance.")
    return release.get("version", "")


def download(settings: dict, version: str) -> bytes:
    """The archive."""
    got = aws(settings, "s3").get_object(Bucket=settings["bucket"], Key="release.tar.gz", VersionId=version)
    return got["Body"].read()


def unpack(archive: bytes, place: Path) -> None:
    """The archive's files, and nothing of a run before; tar refuses what would lie elsewhere."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    command = ["tar", "--extract", "--gzip", "--no-same-owner", "--directory", str(place)]
    subprocess.run(command, input=archive, check=True)


def inventory(settings: dict, release: dict, identity: dict) -> dict:
    """This host as the controller's inventory would have it."""
    role, cell, host = settings["role"], settings["cell"], identity["instanceId"]
    node = {
        **release["node"],
        "ansible_connection": "local",
        "fleet_cell": cell,
        "ec2_instance_id": host,
        "ec2_placement": {"availability_zone": identity["availabilityZone"]},
        "ec2_tags": {
            "chromafleet:fleet": settings["fleet"],
            "chromafleet:cell": cell,
            "chromafleet:role": role,
        },
    }
    groups = {"fleet": {"hosts": {host: node}}, role: {"hosts": {host: {}}}, f"cell_{cell}": {"hosts": {host: {}}}}
    return {"all": {"hosts": {"localhost": release["localhost"]}, "children": groups}}


def main() -> int:
    """The command."""
    settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
    if platform.freedesktop_os_release()["VERSION_ID"] in TOO_OLD:
        print("The ansible-core of this Debian is too old, 13 has a newer one: site.yml configures this instance.")
        return 0
    apt("update")
    install(CLIENT)
    version = sys.argv[1] if len(sys.argv) > 1 else released(settings)
    if version:
        install(ANSIBLE)
        unpack(download(settings, version), HOME / "release")
        release = json.loads((HOME / "release/release.json").read_text(encoding="utf-8"))
        identity = json.loads(metadata("dynamic/instance-identity/document"))
        hosts = HOME / "release/inventory/hosts.json"
        hosts.write_text(json.dumps(inventory(settings, release, identity)), encoding="utf-8")
        began = time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", "--inventory", str(hosts), "chromafleet.aws.boot"],
            env={
                "ANSIBLE_COLLECTIONS_PATH": str(HOME / "release"),
                "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
                "ANSIBLE_FORCE_COLOR": "false",
                "ANSIBLE_INJECT_FACT_VARS": "false",
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_DEPRECATION_WARNINGS": "false",
                "HOME": "/root",
                "LANG": "C.UTF-8",
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            },
            check=False,
        )
        if done.returncode:
            print(f"boot.yml failed ({done.returncode}); it is started again.", file=sys.stderr)
            return 1
        print(f"This instance is a {settings['role']} of {settings['fleet']}, in {time.monotonic() - began:.0f} s.")
    DONE.parent.mkdir(parents=True, exist_ok=True)
    DONE.touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
