"""The AWS API on this machine, as the hosts reach it, with the bucket and the key; from prepare until destroy."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "tests"))
from local_api import LocalApi  # noqa: E402 - it is found by the line before

PORT = 5512
URL = f"http://127.0.0.1:{PORT}"
BUCKET = "molecule-snapshots"


def stop(file):
    """The process of that file, if it is still this one."""
    if file.exists():
        pid = int(file.read_text())
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"localcloud.api" in command.read_bytes():
            os.kill(pid, signal.SIGTERM)
        file.unlink()


def start(file):
    stop(file)
    command = [sys.executable, "-m", "localcloud.api", "--host", "0.0.0.0", "--port", str(PORT)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "local")}
    with file.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
            text=True, start_new_session=True,
        )  # fmt: skip
    process.stdout.readline()
    file.write_text(str(process.pid))
    api = LocalApi(URL)
    api.client("s3").create_bucket(Bucket=BUCKET)
    key = json.dumps({"password": "molecule-key-which-nobody-else-has"})
    api.client("secretsmanager").create_secret(Name="chromafleet/molecule/snapshots", SecretString=key)


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](Path(sys.argv[2]))
