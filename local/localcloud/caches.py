"""ElastiCache: a Valkey for every replication group, with its TLS and the passwords that it takes just now."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from moto.elasticache.models import elasticache_backends

from localcloud import network, pki
from localcloud.aws import every
from localcloud.docker import DockerError, docker, inspect, label_args, labelled
from localcloud.settings import ACCOUNT_ID, PREFIX, REGION, state_dir

log = logging.getLogger("caches")

USER = "user default"


def follow() -> None:
    """Make the containers what the API says of the replication groups."""
    said = {_name(group): group for group in every("elasticache", "describe_replication_groups", "ReplicationGroups")}
    for gone in set(labelled("container", cache="")) - set(said):
        log.info("%s: deleted", gone)
        docker("rm", "--force", "--volumes", gone)
    for name, group in said.items():
        if inspect("container", name) is None:
            _start(name, group)
        else:
            _follow_passwords(name, group)


def _name(group: dict[str, Any]) -> str:
    return f"{PREFIX}-cache-{group['ReplicationGroupId']}"


def _start(name: str, group: dict[str, Any]) -> None:
    primary = group["NodeGroups"][0]["PrimaryEndpoint"]
    log.info("%s: starting at %s", name, primary["Address"])
    vpc, backend = _inside(group["ReplicationGroupId"])
    tls = group.get("TransitEncryptionEnabled")
    lines = [
        f"{'tls-port' if tls else 'port'} {primary['Port']}",
        "maxmemory 64mb",
        f"maxmemory-policy {_policy(backend)}",
    ]
    if tls:
        lines += ["port 0", "tls-cert-file /cache/tls.pem", "tls-key-file /cache/tls.key", "tls-auth-clients no"]
    lines += [_user(backend)]
    folder = _folder(name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate, key = pki.certificate(name, [primary["Address"]])
    for file, content in {
        "valkey.conf": "\n".join(lines),
        "tls.pem": certificate.read_text(),
        "tls.key": key.read_text(),
    }.items():
        (folder / file).touch(mode=0o600)
        (folder / file).write_text(content + "\n")
    docker("run", "--detach", "--name", name, "--pull", "never", *label_args(cache=group["ReplicationGroupId"]),
           "--network", network.of_vpc(vpc), "--network-alias", primary["Address"], "--memory", "128m",
           "--volume", f"{folder}:/cache:ro", f"{PREFIX}/services:trixie", "valkey-server", "/cache/valkey.conf",
           "--protected-mode", "no", "--bind", "0.0.0.0", "--save", "")  # fmt: skip


def _follow_passwords(name: str, group: dict[str, Any]) -> None:
    """Tell a running Valkey what a rotation has changed; connections that are there stay, as in ElastiCache."""
    _, backend = _inside(group["ReplicationGroupId"])
    configuration = _folder(name) / "valkey.conf"
    known = configuration.read_text()
    before = next(line for line in known.splitlines() if line.startswith(USER))
    if (wanted := _user(backend)) == before:
        return
    log.info("%s: other passwords", name)
    # Through standard input: a command line can be read by everybody.
    told = docker(
        "exec", "--interactive", name, "valkey-cli", "-p", str(group["NodeGroups"][0]["PrimaryEndpoint"]["Port"]),
        *(["--tls", "--insecure"] if group.get("TransitEncryptionEnabled") else []),
        stdin=f"AUTH {before.partition('>')[2].split()[0]}\nACL SETUSER {wanted.removeprefix('user ')}\n",
    )  # fmt: skip
    if told.split() != ["OK", "OK"]:
        raise DockerError(f"Valkey in {name} did not take the other passwords: {told}")
    configuration.write_text(known.replace(before, wanted))


def _user(group: Any) -> str:
    """The line of the configuration, and of ACL SETUSER, with the passwords that work: two during a rotation."""
    passwords = getattr(group, "accepted_auth_tokens", [group.auth_token])
    told = [f">{one}" if one else "nopass" for one in passwords]
    return " ".join([USER, "on", "~*", "&*", "+@all", "resetpass", *told])


def _folder(name: str) -> Path:
    return state_dir() / "caches" / name


def _policy(group: Any) -> str:
    """What the group's parameter group says of a full memory."""
    if not group.cache_parameter_group_name:
        return "volatile-lru"
    parameters = every("elasticache", "describe_cache_parameters", "Parameters",
                       CacheParameterGroupName=group.cache_parameter_group_name, Source="user")  # fmt: skip
    told = {one["ParameterName"]: one["ParameterValue"] for one in parameters}
    return told.get("maxmemory-policy", "volatile-lru")


def _inside(group_id: str) -> tuple[str, Any]:
    """The VPC of a group, and what only AWS itself knows of it: no API call returns the password."""
    backend = elasticache_backends[ACCOUNT_ID][REGION]
    group = backend.replication_groups[group_id]
    subnets = every("elasticache", "describe_cache_subnet_groups", "CacheSubnetGroups",
                    CacheSubnetGroupName=group.cache_subnet_group_name)  # fmt: skip
    return subnets[0]["VpcId"], group
