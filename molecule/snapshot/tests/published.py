"""An AWS API on this machine, and runs of the tool on a host with settings of their own."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "tests"))
from local_api import LocalApi  # noqa: E402 - it is found by the line before

PORT = 5511
BUCKET = "molecule-snapshots"
SECRET = "chromafleet/molecule/snapshots"
KEY = "molecule-key-which-nobody-else-has"
TOOL = "/usr/local/sbin/chromafleet-snapshot"
IMAGE = "$(docker inspect --format {{.Image}} chromadb)"


@contextmanager
def serve():
    """As the hosts reach it, with the bucket and the key."""
    command = [sys.executable, "-m", "localcloud.api", "--host", "0.0.0.0", "--port", str(PORT)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "local")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline(), f"Nothing serves: is port {PORT} in use (`ss -tlnp`)?"
        found = LocalApi(f"http://127.0.0.1:{PORT}")
        found.client("s3").create_bucket(Bucket=BUCKET)
        found.client("secretsmanager").create_secret(Name=SECRET, SecretString=json.dumps({"password": KEY}))
        try:
            yield found
        finally:
            process.terminate()


#: In the agent's place; nginx and others send to it as well.
LISTEN = f"""
import socket, subprocess
agent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
agent.bind(("127.0.0.1", 8125))
agent.settimeout(20)
subprocess.run(["{TOOL}", "report"], check=True)
while "SnapshotAge" not in (said := agent.recv(4096).decode()):
    pass
print(said)
"""


class Snapshots:
    """The tool on a host, and what it has published."""

    def __init__(self, host, api):
        self.host, self.api, self.s3 = host, api, api.client("s3")
        self.settings = json.loads(host.file("/etc/chromafleet/snapshot.json").content_string)
        self.cell = self.settings["cell"]

    def get(self, key):
        """An object of the cell; None where it is not there."""
        try:
            return self.s3.get_object(Bucket=BUCKET, Key=f"{self.cell}/{key}")["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return None

    def put(self, key, record):
        """A record, as somebody else would publish it."""
        self.s3.put_object(Bucket=BUCKET, Key=f"{self.cell}/{key}", Body=json.dumps(record))

    def keys(self, prefix):
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.cell}/{prefix}").get("Contents", [])
        return [item["Key"].removeprefix(f"{self.cell}/") for item in listed]

    def latest(self):
        found = self.get("latest.json")
        return json.loads(found) if found else None

    def flipped(self):
        """Meanwhile nothing that the repository holds is what was stored."""
        return self.api.flipped(BUCKET, f"{self.cell}/restic/data/")

    def now(self):
        """By the unit; the published record."""
        self.host.check_output(f"{TOOL} now")
        return self.latest()

    def take(self, **changes):
        """At once, with some settings changed; exit code, what it said, and the status."""
        text = json.dumps(self.settings | changes)
        self.host.check_output("cat > /srv/settings.json <<'END'\n" + text + "\nEND")
        done = self.host.run(f"{TOOL} --settings /srv/settings.json take")
        return done.rc, done.stdout + done.stderr, self.status()

    def status(self):
        return json.loads(self.host.check_output(f"{TOOL} status"))

    def metrics(self):
        """What is reported, as the agent would get it."""
        said = self.host.check_output("python3 -c %s", LISTEN)
        lines = [line for line in said.splitlines() if line.startswith(("Snapshot", "WriteFence", "RestoreDrill"))]
        return {line.split(":")[0]: (float(line.split(":")[1].split("|")[0]), line.split("#")[1]) for line in lines}

    def restored(self, record):
        """A server on what restic gives back; its address."""
        self.host.check_output("docker rm --force restored; rm -rf /var/lib/chromadb/restored")
        self.host.check_output(
            f"chromafleet-snapshot restic restore {record['restic_snapshot']} --target /var/lib/chromadb/restored"
        )
        self.host.check_output("chown -R 10001:10001 /var/lib/chromadb/restored")
        self.host.check_output(
            "docker run --detach --name restored --user 10001:10001 --publish 127.0.0.1:8098:8000 "
            "--volume /etc/chromafleet/snapshot-proof.yaml:/config.yaml:ro "
            f"--volume /var/lib/chromadb/restored:/data {IMAGE}"
        )
        wait = "until curl --silent --fail http://127.0.0.1:8098/api/v2/heartbeat; do sleep 0.2; done"
        self.host.check_output("timeout 60 sh -c %s", wait)
        return "http://127.0.0.1:8098"
