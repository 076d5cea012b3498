"""The closed schema of config.yaml: what it takes, Chroma takes; what it doesn't, is told with the way out."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from ansible_runs import run_ansible

ROLE = Path(__file__).parents[2] / "roles/chromadb"
SCHEMA = json.loads((ROLE / "files/config.schema.json").read_text())
CACHE = {"name": "collections", "capacity": 10, "shards": 4}
# Each key of the schema, once.
WHOLE = {
    "allow_reset": False,
    "collections_with_segments_provider": {
        "cache": {"lru": CACHE},
        "cache_ttl_secs": 60,
        "permitted_parallelism": 180,
        "cache_invalidation_retry_policy": {"delay_ms": 0, "max_retries": 3},
    },
    "cors_allow_origins": ["https://app.example.com"],
    "default_knn_index": "hnsw",
    "enable_schema": True,
    "enable_span_indexing": False,
    "listen_address": "127.0.0.1",
    "max_payload_size_bytes": 41943040,
    "min_records_for_invocation": 100,
    "open_telemetry": {
        "endpoint": "http://127.0.0.1:4317",
        "service_name": "chroma",
        "filters": [{"crate_name": "chroma_frontend", "filter_level": "info"}],
    },
    "persist_path": "/data",
    "port": 8000,
    "scorecard": [{"patterns": ["op:read"], "score": 5}],
    "scorecard_enabled": False,
    "sqlitedb": {"hash_type": "md5", "migration_mode": "apply"},
}
RUN = "import sys, chromadb_rust_bindings; sys.argv[:1] = ['chroma', 'run']; chromadb_rust_bindings.cli(sys.argv)"


@pytest.fixture(scope="module")
def faults():
    sys.path.insert(0, str(ROLE.parents[1] / ".collections"))
    from ansible_collections.chromafleet.aws.plugins.filter.schema_faults import schema_faults

    return lambda value: schema_faults(value, SCHEMA, name="config")


def leaves(value, path=()):
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, (*path, key))
    else:
        yield path


def at(value, path):
    for key in path:
        value = value[key]
    return value


def with_value(path, new):
    changed = deepcopy(WHOLE)
    at(changed, path[:-1])[path[-1]] = new
    return changed


def schema_keys(schema):
    """Every key of the schema, at any depth."""
    schema = SCHEMA["$defs"]["cache"] if "$ref" in schema else schema
    for key, part in schema.get("properties", {}).items():
        yield key
        yield from schema_keys(part)
    if "items" in schema:
        yield from schema_keys(schema["items"])


def keys_of(value):
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_of(part)


def test_the_example_has_every_key_of_the_schema(faults):
    assert faults(WHOLE) == []
    other_caches = {"lfu", "memory", "weighted_lru"}
    assert set(schema_keys(SCHEMA)) - set(keys_of(WHOLE)) == other_caches


def test_chroma_knows_every_key(tmp_path):
    """A key that it ignores could have any value; each of these makes it stop when it has a wrong type."""

    def start(path):
        file = tmp_path / ("-".join(map(str, path)) + ".yaml")
        file.write_text(yaml.safe_dump(with_value(path, {"wrong": ["type"]})))
        command = [sys.executable, "-c", RUN, file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
        return path, done.stdout + done.stderr

    with ThreadPoolExecutor(2) as pool:
        ignored = [path for path, said in pool.map(start, leaves(WHOLE)) if "Error loading config" not in said]
    assert ignored == []


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("persist_paht",), "/data", "config: persist_paht is no known key (did you mean persist_path?)."),
        (("persist_directory",), "/x", "config: persist_directory can't be set: the server knows persist_path only"),
        (("open_telemetry", "endpont"), "x", "config: open_telemetry.endpont is no known key (did you mean endpoint?)"),
        (
            ("collections_with_segments_provider", "cache", "lru", "capcity"), 5,
            "config: collections_with_segments_provider.cache.lru.capcity is no known key (did you mean capacity?).",
        ),
        (("scorecard", 0, "scores"), 5, "config: scorecard[0].scores is no known key (did you mean score?)."),
        (("zzz",), 1, "config: zzz is no known key (known are allow_reset, "),
        (("circuit_breaker",), {}, "config: circuit_breaker can't be set: it answers 429 on the health routes too"),
        (("sqlitedb", "url"), "/x", "config: sqlitedb.url can't be set: the data would lie elsewhere"),
        (("port",), "8000", 'config: port is "8000", but the type integer is expected.'),
        (("port",), 70000, "config: port is 70000, but must be at most 65535."),
        (("allow_reset",), "no", 'config: allow_reset is "no", but the type boolean is expected.'),
        (("sqlitedb", "hash_type"), "sha1", 'config: sqlitedb.hash_type is "sha1", but must be one of md5, sha256.'),
        (("open_telemetry", "endpoint"), "", 'config: open_telemetry.endpoint is "", but must match ^https?://'),
        (
            ("collections_with_segments_provider", "cache", "memory"), {"capacity": 5},
            "config: collections_with_segments_provider.cache must have 1 of the keys lru, lfu, memory, weighted_lru.",
        ),
    ],
)  # fmt: skip
def test_what_does_not_belong_is_told(faults, path, value, sentence):
    (told,) = faults(with_value(path, value))
    assert told.startswith(sentence), told


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"chromadb_config_extra": {"alow_reset": True}}, "alow_reset is no known key (did you mean allow_reset?)"),
        ({"chromadb_config_extra": {"port": 9000}}, "chromadb_config_extra has port, which the role sets itself"),
        ({"chromadb_environment": {"CHROMA_PERSIST_PATH": "/x"}}, "would be laid over config.yaml"),
        ({"chromadb_environment": {"chroma_persist_path": "/x"}}, "would be laid over config.yaml"),
        ({"chromadb_environment": {"CHROMA_SERVER_AUTHN_PROVIDER": "x"}}, "which the server ignores since 1.0"),
        ({"chromadb_environment": {"IS_PERSISTENT": "TRUE"}}, "which the server ignores since 1.0"),
    ],
)
def test_the_role_refuses_it_before_anything_changes(tmp_path, variables, sentence):
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "roles": ["chromafleet.aws.chromadb"],
            "vars": {
                "chromadb_image": f"registry/chroma@sha256:{'0' * 64}",
                "chromadb_data_device": "/dev/null/none",
                **variables,
            },
        }
    ]
    file = tmp_path / "play.yml"
    file.write_text(yaml.safe_dump(play))
    done = run_ansible(file, "--check", inventory="localhost,")
    assert done.returncode == 2
    assert sentence in " ".join(done.stdout.split()), done.stdout + done.stderr
    assert "changed=0" in done.stdout
