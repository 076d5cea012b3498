"""The module `elasticache_parameter_group`, run in this process against recorded answers."""

from __future__ import annotations

from functools import partial

import pytest
from module_runs import REGION

NAME = "production-main-valkey8"
ARN = f"arn:aws:elasticache:{REGION}:123456789012:parametergroup:{NAME}"
TAGS = {"chromafleet:fleet": "production"}
GROUP = {
    "CacheParameterGroupName": NAME,
    "CacheParameterGroupFamily": "valkey8",
    "Description": "Parameters",
    "ARN": ARN,
}
LRU = {"maxmemory-policy": "allkeys-lru"}


@pytest.fixture
def run(run_module):
    """Run the module with some arguments and return its result."""
    return partial(run_module, "elasticache_parameter_group", name=NAME)


@pytest.fixture
def recorded(record):
    """An account that gives recorded answers."""
    stub = record("elasticache")

    def described(parameters=None, tags=TAGS):
        rows = [{"ParameterName": name, "ParameterValue": value} for name, value in (parameters or {}).items()]
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        named = {"CacheParameterGroupName": NAME}
        stub.add_response("describe_cache_parameter_groups", {"CacheParameterGroups": [GROUP]}, named)
        stub.add_response("describe_cache_parameters", {"Parameters": rows}, {**named, "Source": "user"})
        stub.add_response("list_tags_for_resource", {"TagList": pairs}, {"ResourceName": ARN})

    stub.described = described
    stub.nothing = lambda: stub.add_client_error("describe_cache_parameter_groups", "CacheParameterGroupNotFound")
    return stub


def pairs(**parameters):
    return [{"ParameterName": name, "ParameterValue": value} for name, value in parameters.items()]


def test_creates_with_tags_and_parameters(run, recorded):
    recorded.nothing()
    recorded.add_response(
        "create_cache_parameter_group",
        {"CacheParameterGroup": GROUP},
        {
            "CacheParameterGroupName": NAME,
            "CacheParameterGroupFamily": "valkey8",
            "Description": NAME,
            "Tags": [{"Key": "chromafleet:fleet", "Value": "production"}],
        },
    )
    recorded.add_response(
        "modify_cache_parameter_group",
        {},
        {"CacheParameterGroupName": NAME, "ParameterNameValues": pairs(**LRU)},
    )
    recorded.described(LRU)
    result = run(family="valkey8", parameters=LRU, tags=TAGS)
    assert result["changed"]
    assert result["diff"] == {"before": {}, "after": {"parameters": LRU, "tags": TAGS}}
    assert (result["parameter_group"]["arn"], result["parameter_group"]["parameters"]) == (ARN, LRU)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"family": "valkey8"},
        {"parameters": {"maxmemory-policy": "allkeys-lru", "timeout": 300, "activedefrag": True}},
        {"parameters": LRU, "purge_parameters": False},
        {"tags": TAGS},
        {"tags": {}, "purge_tags": False},
    ],
)
def test_what_is_there_already(run, recorded, arguments):
    recorded.described({**LRU, "timeout": "300", "activedefrag": "yes"})
    assert not run(**arguments)["changed"]


def test_resets_and_modifies(run, recorded):
    recorded.described({"maxmemory-policy": "noeviction", "timeout": "300"})
    named = {"CacheParameterGroupName": NAME}
    reset = {**named, "ParameterNameValues": [{"ParameterName": "timeout"}]}
    recorded.add_response("reset_cache_parameter_group", {}, reset)
    recorded.add_response("modify_cache_parameter_group", {}, {**named, "ParameterNameValues": pairs(**LRU)})
    recorded.described(LRU)
    result = run(parameters=LRU)
    assert result["diff"]["before"]["parameters"] == {"maxmemory-policy": "noeviction", "timeout": "300"}
    assert result["diff"]["after"]["parameters"] == LRU


def test_one_call_takes_twenty_parameters(run, recorded):
    wanted = {f"parameter-{n:02d}": "1" for n in range(25)}
    recorded.described()
    for part in (pairs(**wanted)[:20], pairs(**wanted)[20:]):
        expected = {"CacheParameterGroupName": NAME, "ParameterNameValues": part}
        recorded.add_response("modify_cache_parameter_group", {}, expected)
    recorded.described(wanted)
    assert run(parameters=wanted)["changed"]


def test_mends_tags(run, recorded):
    recorded.described(LRU, tags={"team": "search"})
    recorded.add_response("remove_tags_from_resource", {}, {"ResourceName": ARN, "TagKeys": ["team"]})
    recorded.add_response(
        "add_tags_to_resource",
        {},
        {"ResourceName": ARN, "Tags": [{"Key": "chromafleet:fleet", "Value": "production"}]},
    )
    recorded.described(LRU)
    assert run(parameters=LRU, tags=TAGS)["parameter_group"]["tags"] == TAGS


def test_check_mode_changes_nothing(run, recorded):
    recorded.nothing()
    assert run(check=True, family="valkey8", parameters=LRU)["changed"]
    recorded.described()
    assert run(check=True, parameters=LRU)["changed"]
    recorded.described()
    assert run(check=True, state="absent")["changed"]


def test_family_is_fixed(run, recorded):
    recorded.described()
    assert run(family="valkey9", parameters=LRU)["msg"] == (
        "family of the parameter group production-main-valkey8 is 'valkey8' and can't become 'valkey9': AWS fixes it "
        "when the group is created. Make a group of another name, or delete this one first."
    )


def test_a_new_group_needs_a_family(run, recorded):
    recorded.nothing()
    assert run()["msg"] == f"family is required, since there is no parameter group {NAME} yet."


@pytest.mark.parametrize("name", ["Production", "x" * 256, "1st", "a--b", "a-"])
def test_bad_names(run, recorded, name):
    assert f"has {len(name)} characters" in run(name=name)["msg"]


def test_deletes_once(run, recorded):
    recorded.described()
    recorded.add_response("delete_cache_parameter_group", {}, {"CacheParameterGroupName": NAME})
    assert run(state="absent")["changed"]
    recorded.nothing()
    assert not run(state="absent")["changed"]


def test_one_in_use_is_told(run, recorded):
    recorded.described()
    recorded.add_client_error("delete_cache_parameter_group", "InvalidCacheParameterGroupState", "in use")
    result = run(state="absent")
    assert result["failed"]
    assert "in use" in result["msg"]
