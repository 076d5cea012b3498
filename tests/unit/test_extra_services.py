"""The user's containers: the example holds, each becomes a confined container, and what can't run is refused first."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from ansible_runs import run_ansible

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "inventories/example/group_vars/all/20_extra_services.yml.sample"
IMAGE = f"registry.example.com/app@sha256:{'0' * 64}"
SECRET = "rediss://:very-secret@cache:6379/0"


@pytest.fixture(scope="module")
def compose_services():
    sys.path.insert(0, str(ROOT / ".collections"))
    from ansible_collections.chromafleet.aws.plugins.filter.compose_services import compose_services

    return lambda services, secrets=None: compose_services(services, secrets or {}, "/secrets")


def service(**more):
    return {"name": "api", "image": IMAGE, "memory": 64, **more}


def refused(tmp_path, **variables):
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False,
             "roles": ["chromafleet.aws.extra_services"], "vars": variables}]  # fmt: skip
    file = tmp_path / "play.yml"
    file.write_text(yaml.safe_dump(play))
    done = run_ansible(file, "--check", inventory="localhost,")
    assert done.returncode == 2, done.stdout
    assert "changed=0" in done.stdout
    assert "very-secret" not in done.stdout + done.stderr
    return " ".join(done.stdout.split())


def test_the_example_limits_its_worker_and_hands_secrets_as_files(compose_services):
    sample = yaml.safe_load(SAMPLE.read_text())
    made = compose_services(sample["extra_services_list"], {"broker_url": SECRET})
    assert set(made) == {"api", "worker", "flower"}
    assert {"--time-limit=1800", "--soft-time-limit=1740"} <= set(made["worker"]["command"])
    for name, container in made.items():
        assert container["volumes"][0]["source"] == f"/secrets/{name}/broker_url"
        assert container["volumes"][0]["target"] == "/run/secrets/broker_url"
    assert "very-secret" not in json.dumps(made)
    assert sum(entry["memory"] for entry in sample["extra_services_list"]) < sample["chromadb_memory_headroom"]
    assert [image["name"] for image in sample["fleet_images_extra"]] == ["app"]


def test_every_container_is_confined(compose_services):
    container = compose_services([service(ports=[{"host": 8100, "container": 80}])])["api"]
    assert container["ports"] == ["127.0.0.1:8100:80"]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["user"] == "10002:10002"
    assert container["mem_limit"] == container["memswap_limit"] == "64m"
    assert "command" not in container


def test_a_changed_secret_is_another_revision(compose_services):
    def revision(value):
        return compose_services([service(secrets=["key"])], {"key": value})["api"]["labels"]["chromafleet.revision"]

    assert revision("one") == revision("one") != revision("two")


@pytest.mark.parametrize(
    ("services", "sentence"),
    [
        ([service(image="registry.example.com/app:latest")], "an image is given as registry/repository@sha256:"),
        ([service(name="My API")], '"My API" with the image'),
        ([service(), service()], "uses api more than once"),
        ([service(ports=[{"host": 80, "container": 80}])], "has the port 80 of the host, but one from 1024"),
        ([service(secrets=["broker_ulr"])], "extra_services_secrets doesn't have (did you mean broker_url?)"),
        ([service(privileged=True)], "privileged"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused(tmp_path, services, sentence):
    said = refused(tmp_path, extra_services_list=services, extra_services_secrets={"broker_url": SECRET})
    assert sentence in said, said


def test_a_secret_in_an_environment_is_refused(tmp_path):
    services = [service(environment={"BROKER_URL": SECRET})]
    said = refused(tmp_path, extra_services_list=services, extra_services_secrets={"broker_url": SECRET})
    assert "the environment of api holds the value of a secret" in said
