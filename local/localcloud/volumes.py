"""EBS: each volume is a sparse file in a Docker volume, and a loop device while it is attached to an instance."""

from __future__ import annotations

from localcloud.docker import docker, label_args, labelled
from localcloud.settings import PREFIX

#: Loop devices are the host's; this is what a container needs to handle them without being privileged.
LOOP_ACCESS = ("--device-cgroup-rule", "b 7:* rmw", "--device-cgroup-rule", "c 10:237 rmw")
NODE = f"{PREFIX}/node:trixie"
GIB = 1024**3
#: Detach what a lost instance or an interrupted attachment left. A device goes with its last mount, and the kernel ends
#: those of a removed container when it comes to it.
FREE = """devices() { losetup --noheadings --output NAME --associated $file; }
for device in $(devices); do losetup --detach $device; done
attempts=0
while left=$(devices) && test -n "$left"; do
  attempts=$((attempts + 1))
  if test $attempts = 100; then echo "$left of $file is still in use after 10 seconds" >&2; exit 1; fi
  sleep 0.1
done"""


def attach(volume_id: str, size: int, instance_id: str) -> None:
    """Give an instance the block device of a volume, under the stable name that udev gives it on EC2."""
    docker("volume", "create", *label_args(volume=volume_id), _name(volume_id))
    script = f"truncate -s {size * GIB} $file; {FREE}; losetup --find --show $file"
    device = beside(volume_id, script)
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
        beside(volume_id, FREE)
        docker("volume", "rm", "--force", name)


def beside(volume_id: str, script: str) -> str:
    """Run a script that has the volume's `$file` and this machine's loop devices."""
    return docker("run", "--rm", "--pull", "never", "--network", "none", "--cap-add", "SYS_ADMIN", "--security-opt",
                  "apparmor=unconfined", *LOOP_ACCESS, "--volume", "/dev:/dev", "--volume", f"{_name(volume_id)}:/ebs",
                  NODE, "sh", "-ec", f"file=/ebs/{volume_id}; {script}")  # fmt: skip


def link(volume_id: str) -> str:
    """The name under which a Nitro instance sees a volume."""
    return f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}"


def _name(volume_id: str) -> str:
    return f"{PREFIX}-{volume_id}"
