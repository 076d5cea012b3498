"""EBS: each volume is a sparse file in a Docker volume, and a loop device while it is attached to an instance."""

from __future__ import annotations

from localcloud.docker import docker, label_args, labelled
from localcloud.settings import PREFIX

#: Loop devices are the host's; this is what a container needs to handle them without being privileged.
LOOP_ACCESS = ("--device-cgroup-rule", "b 7:* rmw", "--device-cgroup-rule", "c 10:237 rmw")
NODE = f"{PREFIX}/node:trixie"
GIB = 1024**3


def attach(volume_id: str, size: int, instance_id: str) -> None:
    """Give an instance the block device of a volume, under the stable name that udev gives it on EC2."""
    docker("volume", "create", *label_args(volume=volume_id), _name(volume_id))
    # An attachment that was interrupted left its device, which would never be detached beside a second one.
    device = _helper(_name(volume_id), f"""
        truncate -s {size * GIB} /ebs/{volume_id}
        device=$(losetup --noheadings --output NAME --associated /ebs/{volume_id} | head -n 1)
        echo ${{device:-$(losetup --find --show /ebs/{volume_id})}}""")  # fmt: skip
    minor = device.removeprefix("/dev/loop")
    docker("exec", instance_id, "sh", "-ec", f"mknod -m 660 {device} b 7 {minor}; mkdir -p /dev/disk/by-id; "
           f"ln -s {device} {link(volume_id)}")  # fmt: skip


def detach(volume_id: str, instance_id: str) -> bool:
    """Take the device away from an instance; false while it is mounted there, which no other may then get."""
    name = link(volume_id)
    return docker("exec", instance_id, "sh", "-ec", f"""
        device=$(readlink {name}) || {{ echo gone; exit; }}
        if grep -q "^\\($device\\|{name}\\) " /proc/mounts; then echo mounted; exit; fi
        losetup --detach "$device"; rm "$device" {name}; echo gone""") == "gone"  # fmt: skip


def release(instance_id: str) -> None:
    """Detach every loop device of an instance that is about to be removed; they go when its mounts do."""
    docker("exec", instance_id, "sh", "-c", "for link in /dev/disk/by-id/nvme-*; do "
           'device=$(readlink "$link") && losetup --detach "$device"; done', check=False)  # fmt: skip


def attached(instance_id: str) -> set[str]:
    """Ids of the volumes whose device an instance has, without their dash (as the device names have them)."""
    prefix = link("")
    listed = docker("exec", instance_id, "sh", "-c", f"ls -d {prefix}* 2>/dev/null || true")
    return {name.removeprefix(prefix) for name in listed.split()}


def sweep(known: set[str]) -> None:
    """Delete the files of volumes that the API no longer has, and the devices that are still there for them."""
    for name in labelled("volume", volume=""):
        volume_id = name.removeprefix(f"{PREFIX}-")
        if volume_id in known:
            continue
        # A device goes with its last mount, and the kernel ends those of a removed container when it comes to it.
        _helper(name, f"""
            devices() {{ losetup --noheadings --output NAME --associated /ebs/{volume_id}; }}
            for device in $(devices); do losetup --detach "$device"; done
            for attempt in $(seq 100); do test -n "$(devices)" || exit 0; sleep 0.1; done
            echo "the device of {volume_id} is still in use after 10 seconds: $(devices)" >&2; exit 1""")  # fmt: skip
        docker("volume", "rm", "--force", name)


def link(volume_id: str) -> str:
    """The name under which a Nitro instance sees a volume."""
    return f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}"


def _name(volume_id: str) -> str:
    return f"{PREFIX}-{volume_id}"


def _helper(volume: str, script: str) -> str:
    return docker("run", "--rm", "--pull", "never", "--network", "none", "--cap-add", "SYS_ADMIN", "--security-opt",
                  "apparmor=unconfined", *LOOP_ACCESS, "--volume", "/dev:/dev", "--volume", f"{volume}:/ebs",
                  NODE, "sh", "-ec", script)  # fmt: skip
