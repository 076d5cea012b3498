"""One host of the fleet as the roles make it, and beside it, on the same volume, the server as its image starts it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from corpus import COLLECTION
from loadgen import Load, Target, build

ROOT = Path(__file__).parents[1]
NAME = "chromafleet-bench"
NODE = "chromafleet-local/node:trixie"
BARE_PORT = 8001
JSON = "Content-Type: application/json"
TARGETS = {
    "bare": Target(BARE_PORT),
    "fleet": Target(443, tls=True, headers=("Authorization: Bearer bench-0123456789abcdef",)),
}
VOLUME = "/var/lib/chromadb"
DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"


def molecule(action: str) -> None:
    """Run an action of the scenario benchmarks/host."""
    environment = os.environ | {"MOLECULE_GLOB": "benchmarks/*/molecule.yml"}
    command = ["molecule", action, "--scenario-name", "host"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"molecule {action} failed:\n{(done.stdout + done.stderr)[-6000:]}")


def on_host(script: str) -> str:
    """What a shell script on the host prints."""
    command = ["docker", "exec", NAME, "sh", "-euc", script]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def place(data: Path) -> None:
    """Give both servers the same data."""
    on_host(f"""
        docker ps --all --quiet --filter name=^bare$ | xargs --no-run-if-empty docker rm --force
        systemctl stop chromadb
        rm -rf {VOLUME}/data {VOLUME}/bare
        mkdir {VOLUME}/data {VOLUME}/bare
    """)
    for copy in ("data", "bare"):
        archive = subprocess.Popen(["tar", "--create", "--directory", data, "."], stdout=subprocess.PIPE)
        unpack = ["tar", "--extract", "--no-same-owner", "--directory", f"{VOLUME}/{copy}"]
        subprocess.run(["docker", "exec", "--interactive", NAME, *unpack], stdin=archive.stdout, check=True)
    image = on_host("docker inspect --format '{{.Config.Image}}' chromadb")
    on_host(f"""
        chown -R "$(docker inspect --format '{{{{.Config.User}}}}' chromadb)" {VOLUME}/data
        chmod 700 {VOLUME}/data
        systemctl start chromadb
        docker run --detach --name bare --publish 127.0.0.1:{BARE_PORT}:8000 --volume {VOLUME}/bare:/data {image}
        for port in 8000 {BARE_PORT}; do
          timeout 60 sh -c "until curl --silent --fail http://127.0.0.1:$port/api/v2/heartbeat; do sleep 0.2; done"
        done
    """)


def loads(folder: Path) -> Load:
    """Load from a container in the host's own network: no other way than loopback, nothing else of the host."""
    build(folder / "loadgen")
    start = ("docker", "run", "--rm", "--network", f"container:{NAME}", "--user", f"{os.getuid()}:{os.getgid()}")
    rest = ("--ulimit", "nofile=16384:16384", "--volume", f"{folder}:/load", NODE, "/load/loadgen")
    return Load(folder, (*start, *rest), "/load")


@dataclass(frozen=True)
class Server:
    """One of the two, for what is not load."""

    target: Target

    def post(self, path: str, body: dict) -> dict:
        """One request from the host itself."""
        scheme = "https" if self.target.tls else "http"
        headers = " ".join(f"--header '{header}'" for header in (JSON, *self.target.headers))
        url = f"{scheme}://127.0.0.1:{self.target.port}{DATABASE}{path}"
        command = f"curl --silent --show-error --fail-with-body --insecure {headers} --data @- {url}"
        exec_ = ["docker", "exec", "--interactive", NAME, "sh", "-euc", command]
        done = subprocess.run(exec_, input=json.dumps(body), check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)

    def collection(self, name: str = COLLECTION) -> str:
        """The path of a collection, which is made if it is not there."""
        made = self.post("/collections", {"name": name, "get_or_create": True})
        return f"/collections/{made['id']}"


@contextmanager
def asked_of_chroma(counted: list[int]) -> Iterator[None]:
    """Append how many POST requests came to the fleet's Chroma meanwhile, as its network saw them."""
    address = on_host("docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' chromadb")
    bridge = re.search(r" dev (\S+)", on_host(f"ip route get {address}"))[1]
    is_post = "tcp dst port 8000 and tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x504f5354"
    sniff = f"exec tcpdump --interface {bridge} -nn -w /dev/null '{is_post}'"
    watcher = subprocess.Popen(["docker", "exec", NAME, "sh", "-c", sniff], stderr=subprocess.PIPE, text=True)
    said = iter(watcher.stderr.readline, "")
    next(line for line in said if "listening" in line)
    yield
    on_host("killall -INT tcpdump")
    counted.extend(int(line.split()[0]) for line in said if "packets captured" in line)


def versions() -> dict[str, str]:
    """What ran, for the report."""
    return {
        "Chroma": on_host("docker inspect --format '{{.Image}}' chromadb")[7:19],
        "nginx": on_host("nginx -v 2>&1").rpartition("/")[2],
        "Valkey": re.search(r"v=(\S+)", on_host("valkey-server --version"))[1],
        "Docker": on_host("docker version --format '{{.Server.Version}}'"),
        "host": on_host(". /etc/os-release; echo $PRETTY_NAME"),
    }
