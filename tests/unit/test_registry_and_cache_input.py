"""What the roles aws_registry and aws_cache refuse before they change anything, each with its sentence."""

from __future__ import annotations

import pytest
import yaml
from ansible_runs import run_ansible

KEY = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
FLEET = {"chromafleet:fleet": "production"}
CHROMA = {"name": "chroma", "tag": "1.5.9", "source": "docker.io/chromadb/chroma:1.5.9"}
WITHOUT_SOURCE = {"name": "chroma", "tag": "1.5.9"}
REPOSITORY = "chromafleet/production/chroma"

REGISTRY = {
    "aws_registry_images": [CHROMA],
    "aws_registry_repository_prefix": "chromafleet/production/",
    "aws_registry_tags": FLEET,
    "aws_registry_found": {"repositories": {}},
}
CACHE = {
    "aws_cache_name": "production-main",
    "aws_cache_vpc_id": "vpc-1",
    "aws_cache_subnet_ids": ["subnet-1"],
    "aws_cache_client_security_group_id": "sg-1",
    "aws_cache_auth_secret": "cache",
    "aws_cache_tags": FLEET,
    "aws_cache_found": {"replication_groups": {}, "subnet_groups": {}, "parameter_groups": {}, "security_groups": {}},
}


def images(*several):
    return {"aws_registry_images": list(several)}


def made_with(**properties):
    """A cache that exists."""
    now = {"status": "available", "usable": True, "port": 6379, "kms_key_id": "", "engine_version": "8.0", **properties}
    return {"aws_cache_found": {**CACHE["aws_cache_found"], "replication_groups": {"production-main": now}}}


REGISTRY_FAULTS = {
    "no tag of the fleet": ({"aws_registry_tags": {}}, "aws_registry_tags lacks chromafleet:fleet"),
    "name in capitals": (
        images({**CHROMA, "name": "Chroma"}),
        'make the repository "chromafleet/production/Chroma" (29 characters), but ECR allows 2 to 256 lower-case',
    ),
    "name too long": (images({**CHROMA, "name": "c" * 234}), "(257 characters), but ECR allows 2 to 256"),
    "prefix ends with a hyphen": ({"aws_registry_repository_prefix": "a-/"}, 'make the repository "a-/chroma"'),
    "tag too long": (images({**CHROMA, "tag": "t" * 129}), "(129 characters), but a tag has at most 128 letters"),
    "tag with a slash": (images({**CHROMA, "tag": "a/b"}), 'has the tag "a/b" (3 characters), but a tag has'),
    "one name twice": (
        images(CHROMA, {**CHROMA, "tag": "1.6.0"}),
        "aws_registry_images must list each name once, but its names are chroma, chroma; rename",
    ),
    "no source": (images(WITHOUT_SOURCE), "needs exactly one of source, sources and build, but the images chroma have"),
    "no sources": (images({**WITHOUT_SOURCE, "sources": []}), "needs exactly one of source, sources and build"),
    "source and build": (
        images({**CHROMA, "build": {"path": "/app"}}),
        "have them in this way: source ['chroma'], sources [], build ['chroma']; leave one of them.",
    ),
    "archive with a relative path": (
        images({**WITHOUT_SOURCE, "sources": ["docker.io/a/b:1", "file://chroma.tar"]}),
        'names the archive "file://chroma.tar", but an archive has an absolute path',
    ),
    "digest that is a tag": (images({**CHROMA, "digest": "1.5.9"}), 'has the digest "1.5.9", but a digest is sha256:'),
    "digest of a build": (
        images({**WITHOUT_SOURCE, "build": {"path": "/app"}, "digest": "sha256:" + "0" * 64}),
        "The image chroma of aws_registry_images has a digest and a build",
    ),
    "no days": (
        {"aws_registry_untagged_days": 0},
        "aws_registry_untagged_days is 0 and aws_registry_tagged_images is 30",
    ),
    "no images": ({"aws_registry_tagged_images": 0}, "aws_registry_tagged_images is 0, but a lifecycle policy counts"),
    "processor alone": ({"aws_registry_platform": "arm64"}, 'aws_registry_platform is "arm64", but a platform is'),
    "alias of a key": (
        {"aws_registry_kms_key_arn": "alias/ecr"},
        'aws_registry_kms_key_arn is "alias/ecr", but must be the ARN of a KMS key',
    ),
    "another key than it was made with": (
        {"aws_registry_kms_key_arn": KEY, "aws_registry_found": {"repositories": {REPOSITORY: {"kms_key_arn": ""}}}},
        (
            f'aws_registry_kms_key_arn is "{KEY}", but the repository {REPOSITORY} was made with "", which ECR never '
            "changes; set the variable to that, or delete the repository with its images (aws ecr delete-repository "
            f"--force --repository-name {REPOSITORY}) and run this again."
        ),
    ),
}
CACHE_FAULTS = {
    "no tag of the fleet": ({"aws_cache_tags": {}}, "aws_cache_tags lacks chromafleet:fleet"),
    "name too long": (
        {"aws_cache_name": "c" * 41},
        f'aws_cache_name is "{"c" * 41}" (41 characters), but ElastiCache allows at most 40 lower-case letters',
    ),
    "name in capitals": ({"aws_cache_name": "Main"}, 'aws_cache_name is "Main" (4 characters)'),
    "name with two hyphens": ({"aws_cache_name": "a--b"}, 'aws_cache_name is "a--b" (4 characters)'),
    "name ends with a hyphen": ({"aws_cache_name": "a-"}, 'aws_cache_name is "a-" (2 characters)'),
    "name begins with a digit": ({"aws_cache_name": "1a"}, 'aws_cache_name is "1a" (2 characters)'),
    "type of an instance": (
        {"aws_cache_node_type": "t4g.small"},
        'aws_cache_node_type is "t4g.small", but ElastiCache has',
    ),
    "version without a minor one": (
        {"aws_cache_engine_version": "8"},
        'aws_cache_engine_version is "8", but ElastiCache',
    ),
    "version of Redis": (
        {"aws_cache_engine_version": "6.2"},
        'aws_cache_engine_version is "6.2", but ElastiCache has Valkey',
    ),
    "no node": ({"aws_cache_num_cache_clusters": 0}, "aws_cache_num_cache_clusters is 0, but a cache has 1 to 6 nodes"),
    "too many nodes": (
        {"aws_cache_num_cache_clusters": 7},
        "aws_cache_num_cache_clusters is 7, but a cache has 1 to 6",
    ),
    "one node in two zones": (
        {"aws_cache_multi_az": True},
        "aws_cache_multi_az is true, but aws_cache_num_cache_clusters is 1, and one node is in one availability",
    ),
    "no port": ({"aws_cache_port": 70000}, "aws_cache_port is 70000, but a TCP port is a number from 1 to 65535"),
    "truth as a parameter": (
        {"aws_cache_parameters": {"activedefrag": True}},
        "aws_cache_parameters has a truth value for activedefrag, but Valkey's are the words yes and no",
    ),
    "window without an end": (
        {"aws_cache_maintenance_window": "sun:05:00"},
        'aws_cache_maintenance_window is "sun:05:00", but a window is from day and time to day and time in UTC',
    ),
    "alias of a key": ({"aws_cache_kms_key_arn": "alias/cache"}, 'aws_cache_kms_key_arn is "alias/cache", but must be'),
    "another key than it was made with": (
        {"aws_cache_kms_key_arn": KEY, **made_with()},
        f'aws_cache_kms_key_arn is "{KEY}", but the cache production-main was made with "", which ElastiCache never',
    ),
    "another port than it was made with": (
        {"aws_cache_port": 7000, **made_with()},
        "aws_cache_port is 7000, but the cache production-main was made with 6379, which ElastiCache never changes",
    ),
    "an older version": (
        made_with(engine_version="8.1"),
        'aws_cache_engine_version is "8.0", but the cache production-main has 8.1 already, and ElastiCache makes no',
    ),
}
#: What is right, though it may look strange.
GOOD = {
    "registry": (
        "aws_registry",
        {
            **REGISTRY,
            **images(
                {**CHROMA, "digest": "sha256:" + "0" * 64},
                {"name": "tools/app_1", "tag": "v1", "build": {"path": "/app", "args": {"A": "b"}}},
                {"name": "proxy", "tag": "1", "sources": ["docker.io/a/b:1", "file:///tmp/b.tar"]},
            ),
            "aws_registry_platform": "",
            "aws_registry_kms_key_arn": KEY,
            "aws_registry_found": {"repositories": {"chromafleet/production/old": {"kms_key_arn": ""}}},
        },
    ),
    "cache": (
        "aws_cache",
        {
            **CACHE,
            **made_with(engine_version="7.2", status="modifying"),
            "aws_cache_name": "production-main",
            "aws_cache_num_cache_clusters": 2,
            "aws_cache_maintenance_window": "Sun:23:30-Mon:00:30",
        },
    ),
    "cache that is deleted": (
        "aws_cache",
        {**CACHE, **made_with(status="deleting", usable=False), "aws_cache_port": 7000, "aws_cache_kms_key_arn": KEY},
    ),
}
CASES = {
    **{f"registry: {case}": ("aws_registry", REGISTRY | own, say) for case, (own, say) in REGISTRY_FAULTS.items()},
    **{f"cache: {case}": ("aws_cache", CACHE | own, say) for case, (own, say) in CACHE_FAULTS.items()},
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What each case is told; all in one run, because a start of Ansible takes seconds."""
    folder = tmp_path_factory.mktemp("verdicts")
    tasks = []
    for number, (role, values) in enumerate([*(case[:2] for case in CASES.values()), *GOOD.values()]):
        copy = {"content": "{{ ansible_failed_result.msg }}", "dest": str(folder / str(number)), "mode": "0600"}
        check = {"name": f"chromafleet.aws.{role}", "tasks_from": "preflight"}
        tasks.append(
            {
                "name": f"Case {number}",
                "block": [{"name": "Check", "ansible.builtin.include_role": check, "vars": values}],
                "rescue": [{"name": "Keep what is told", "ansible.builtin.copy": copy}],
            }
        )
    playbook = [{"name": "All", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (folder / "play.yml").write_text(yaml.safe_dump(playbook))
    process = run_ansible(folder / "play.yml", inventory="localhost,", cwd=folder)
    assert process.returncode == 0, process.stdout + process.stderr
    names = [*CASES, *GOOD]
    return {names[int(path.name)]: path.read_text() for path in folder.iterdir() if path.name.isdigit()}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_sentence(verdicts, case):
    assert CASES[case][2] in verdicts[case]
    assert len(verdicts[case].splitlines()) == 1, "more than the one fault is told"


@pytest.mark.parametrize("case", GOOD)
def test_good_input_is_silent(verdicts, case):
    assert case not in verdicts
