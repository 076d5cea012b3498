"""The role aws_registry from nothing to nothing, with Docker and the registry at localhost:5443."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_api import LocalApi
from role_runs import KEY, RoleRuns

# A run's own, because the registry outlives it.
FLEET = f"registry-{uuid.uuid4().hex[:8]}"
UPSTREAM, APP = f"chromafleet/{FLEET}/upstream", f"chromafleet/{FLEET}/app"
# Nothing listens there: an upstream that can't be reached.
NOWHERE = "localhost:9/upstream:1"


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """An image that is in an archive and nowhere else, and its id."""
    folder = tmp_path_factory.mktemp("upstream")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nLABEL org.chromafleet.test=upstream\n")
    image = docker("build", "--quiet", "--tag", "chromafleet-test/upstream:1", str(folder))
    docker("save", "--output", str(folder / "upstream.tar"), "chromafleet-test/upstream:1")
    docker("image", "rm", image)
    yield folder / "upstream.tar", image
    wanted = ("reference=chromafleet-test/upstream", f"reference=localhost:5443/chromafleet/{FLEET}/*")
    filters = [option for one in wanted for option in ("--filter", one)]
    for name in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", *filters).split():
        docker("image", "rm", name)


@pytest.fixture(scope="module")
def run(
    aws: LocalApi, authority: Path, archive: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> RoleRuns:
    """The role with one image that is copied and one that is built."""
    app = tmp_path_factory.mktemp("app")
    (app / "App.Dockerfile").write_text("FROM scratch\nARG GREETING\nLABEL greeting=$GREETING\nCOPY App.Dockerfile /\n")
    path, image = archive
    variables = {
        "fleet_name": FLEET,
        "aws_registry_endpoint": "localhost:5443",
        "aws_registry_ca_path": str(authority),
        "aws_registry_platform": "",
        "aws_registry_images": [
            {"name": "upstream", "tag": "1", "sources": [NOWHERE, f"file://{path}"], "digest": image},
            {
                "name": "app",
                "tag": "v1",
                "build": {"path": str(app), "dockerfile": "App.Dockerfile", "args": {"GREETING": "good day"}},
            },
        ],
    }
    return RoleRuns("aws_registry", "registry", aws, variables, tmp_path_factory.mktemp("registry"))


def test_a_plan_of_an_empty_account_asks_no_registry(run: RoleRuns) -> None:
    # Nothing answers at this endpoint: being asked would be a failure.
    done = run("--check", aws_registry_endpoint="localhost:9")
    assert done.code == 0, done.output
    assert done.rows == {
        ("create", "ECR repository", UPSTREAM),
        ("create", "ECR repository", APP),
        ("create", "container image", "upstream:1"),
        ("create", "container image", "app:v1"),
    }
    assert done.writes == []
    assert "GetAuthorizationToken" not in [call["operation"] for call in done.calls]


def test_another_digest_is_never_pushed(run: RoleRuns, archive: tuple[Path, str]) -> None:
    (upstream, _), (path, image) = run.variables["aws_registry_images"], archive
    other = "sha256:" + "0" * 64
    done = run(aws_registry_images=[{**upstream, "digest": other}])
    assert done.code == 2
    assert f"The image upstream:1 must be {other}, but what came from file://{path} is {image}" in done.output
    assert "Push the image" not in done.output


def test_no_source_is_one_sentence(run: RoleRuns) -> None:
    missing = {"name": "upstream", "tag": "1", "sources": [NOWHERE, "file:///nowhere/upstream.tar"]}
    done = run(aws_registry_images=[missing])
    assert done.code == 2
    assert f"No source has the image upstream:1 ({NOWHERE}: " in done.output
    assert "; file:///nowhere/upstream.tar: Error opening archive" in done.output


def test_create_falls_back_and_builds(run: RoleRuns, archive: tuple[Path, str]) -> None:
    before = Path.home() / ".docker/config.json"
    logins = before.read_text() if before.exists() else None
    done = run()
    assert done.code == 0, done.output
    assert (before.read_text() if before.exists() else None) == logins
    target = f"localhost:5443/{UPSTREAM}:1"
    assert docker("image", "inspect", "--format", "{{.Id}}", target) == archive[1]
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", f"localhost:5443/{APP}:v1"))
    assert labels == {"greeting": "good day"}


def test_a_repository_is_as_wanted(run: RoleRuns, aws: LocalApi) -> None:
    ecr = aws.client("ecr")
    (found,) = ecr.describe_repositories(repositoryNames=[APP])["repositories"]
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": KEY}
    tags = ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
    assert tags == [{"Key": "chromafleet:fleet", "Value": FLEET}]
    rules = json.loads(ecr.get_lifecycle_policy(repositoryName=APP)["lifecyclePolicyText"])["rules"]
    assert [(rule["selection"]["tagStatus"], rule["selection"]["countNumber"]) for rule in rules] == [
        ("untagged", 7),
        ("tagged", 30),
    ]


def test_again_changes_nothing(run: RoleRuns) -> None:
    done = run()
    assert (done.code, done.changed, done.writes) == (0, 0, []), done.output
    assert [call["operation"] for call in done.calls].count("GetAuthorizationToken") == 1


def test_what_was_changed_by_hand_is_named_and_mended(run: RoleRuns, aws: LocalApi) -> None:
    ecr = aws.client("ecr")
    ecr.delete_lifecycle_policy(repositoryName=APP)
    ecr.put_image_tag_mutability(repositoryName=UPSTREAM, imageTagMutability="MUTABLE")
    arn = ecr.describe_repositories(repositoryNames=[UPSTREAM])["repositories"][0]["repositoryArn"]
    ecr.untag_resource(resourceArn=arn, tagKeys=["chromafleet:fleet"])
    plan = run("--check")
    assert plan.rows == {("change", "ECR repository", APP), ("change", "ECR repository", UPSTREAM)}
    assert plan.writes == []
    done = run()
    assert done.code == 0, done.output
    assert run("--check").counts == (0, 0, 0, 4)


def test_a_registry_that_does_not_answer_is_one_sentence(run: RoleRuns) -> None:
    done = run(aws_registry_endpoint="localhost:9")
    assert done.code == 2
    assert "The registry localhost:9 does not answer for upstream:1 (" in done.output
    assert "check this machine's network, proxy and clock, aws_registry_endpoint" in done.output


def test_no_login_is_one_sentence(run: RoleRuns, aws: LocalApi) -> None:
    aws.inject("ecr", "GetAuthorizationToken", "AccessDeniedException", "No.", status=403)
    done = run()
    aws.heal()
    assert done.code == 2
    assert "may not call GetAuthorizationToken (AccessDeniedException)" in done.output


def test_resolve_finds_the_digests_and_says_what_is_missing(run: RoleRuns) -> None:
    assert run(entry="resolve").code == 0
    newer = {"name": "app", "tag": "v2", "source": NOWHERE}
    done = run(entry="resolve", aws_registry_images=[newer])
    assert done.code == 2
    assert (
        "The registry localhost:5443 lacks app: run playbooks/images.yml, which brings missing images." in done.output
    )


def test_destroy_takes_the_repositories_and_nobody_elses(run: RoleRuns, aws: LocalApi) -> None:
    ecr = aws.client("ecr")
    ecr.create_repository(repositoryName=f"chromafleet/{FLEET}-2/app")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    ecr.put_image(repositoryName=APP, imageManifest=json.dumps(manifest), imageTag="v0")
    done = run(entry="destroy")
    assert done.code == 0, done.output
    left = [one["repositoryName"] for one in ecr.describe_repositories()["repositories"]]
    assert left == [f"chromafleet/{FLEET}-2/app"]
    again = run(entry="destroy")
    assert (again.code, again.changed, again.writes) == (0, 0, [])
