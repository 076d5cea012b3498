"""ElastiCache."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from moto.core.resource_tagging import TaggedResource
from moto.core.responses import ActionResult, EmptyResult, PaginatedResult
from moto.core.utils import utcnow
from moto.elasticache import exceptions, models, responses
from moto.elasticache.exceptions import InvalidParameterValueException

from localcloud.patches import Client, _probe, restores
from localcloud.settings import ACCOUNT_ID, REGION


class NotFound(exceptions.ElastiCacheException):
    """What is asked for doesn't exist."""


class InUse(exceptions.ElastiCacheException):
    """What shall go is used by a replication group."""


def _users(backend: Any, attribute: str, name: str) -> list[str]:
    return [group.replication_group_id for group in backend.replication_groups.values()
            if getattr(group, attribute) == name]  # fmt: skip


@restores("A subnet group can be modified, and deleted once no replication group uses it")
def subnet_group() -> None:
    def modify_cache_subnet_group(self: Any) -> ActionResult:
        backend, name = self.elasticache_backend, self._get_param("CacheSubnetGroupName")
        (old,) = backend.describe_cache_subnet_groups(name)
        new = models.CacheSubnetGroup(
            account_id=self.current_account,
            region_name=self.region,
            cache_subnet_group_name=name,
            cache_subnet_group_description=self._get_param(
                "CacheSubnetGroupDescription", old.cache_subnet_group_description
            ),
            subnet_ids=self._get_param("SubnetIds", old.subnet_ids),
            tags=old.tags,
        )
        backend.cache_subnet_groups[name] = new
        return ActionResult({"CacheSubnetGroup": new})

    def delete_cache_subnet_group(self: Any) -> EmptyResult:
        backend, name = self.elasticache_backend, self._get_param("CacheSubnetGroupName")
        (group,) = backend.describe_cache_subnet_groups(name)
        if users := _users(backend, "cache_subnet_group_name", name):
            raise InUse("CacheSubnetGroupInUse", f"Cache subnet group {name} is currently in use by {users}.")
        backend.tagging_service.delete_all_tags_for_resource(group.arn)
        del backend.cache_subnet_groups[name]
        return EmptyResult()

    responses.ElastiCacheResponse.modify_cache_subnet_group = modify_cache_subnet_group
    responses.ElastiCacheResponse.delete_cache_subnet_group = delete_cache_subnet_group


@subnet_group.shown_by
def _subnet_group(client: Client) -> bool:
    _, subnets = _probe.network(client)
    cache = client("elasticache")
    cache.create_cache_subnet_group(CacheSubnetGroupName="p", CacheSubnetGroupDescription="p", SubnetIds=subnets)
    cache.modify_cache_subnet_group(CacheSubnetGroupName="p", SubnetIds=subnets[:1])
    (group,) = cache.describe_cache_subnet_groups()["CacheSubnetGroups"]
    cache.create_replication_group(ReplicationGroupId="p", ReplicationGroupDescription="p", CacheSubnetGroupName="p")
    refused = _probe.refused(lambda: cache.delete_cache_subnet_group(CacheSubnetGroupName="p"), "CacheSubnetGroupInUse")
    cache.delete_replication_group(ReplicationGroupId="p")
    cache.delete_cache_subnet_group(CacheSubnetGroupName="p")
    left = cache.describe_cache_subnet_groups()["CacheSubnetGroups"]
    return [subnet["SubnetIdentifier"] for subnet in group["Subnets"]] == subnets[:1] and refused and not left


@dataclass
class ParameterGroup:
    """A cache parameter group, in the names that the API's answer has."""

    cache_parameter_group_name: str
    cache_parameter_group_family: str
    description: str
    arn: str
    is_global: bool = False
    parameters: dict[str, str] = field(default_factory=dict)


def _parameter_groups(backend: Any) -> dict[str, ParameterGroup]:
    return backend.__dict__.setdefault("parameter_groups", {})


def _parameter_group(response: Any) -> ParameterGroup:
    name = response._get_param("CacheParameterGroupName")
    try:
        return _parameter_groups(response.elasticache_backend)[name]
    except KeyError:
        raise NotFound("CacheParameterGroupNotFound", f"CacheParameterGroup {name} not found.") from None


@restores("Parameter groups exist, with their parameters and tags")
def parameter_group() -> None:
    def create(self: Any) -> ActionResult:
        backend, name = self.elasticache_backend, self._get_param("CacheParameterGroupName")
        if name in _parameter_groups(backend):
            raise InUse("CacheParameterGroupAlreadyExists", f"CacheParameterGroup {name} already exists.")
        arn = f"arn:aws:elasticache:{self.region}:{self.current_account}:parametergroup:{name}"
        family, description = self._get_param("CacheParameterGroupFamily"), self._get_param("Description")
        group = _parameter_groups(backend)[name] = ParameterGroup(name, family, description, arn)
        backend.tagging_service.tag_resource(arn, self._get_param("Tags", []))
        return ActionResult({"CacheParameterGroup": group})

    def describe(self: Any) -> ActionResult:
        one = self._get_param("CacheParameterGroupName")
        groups = [_parameter_group(self)] if one else list(_parameter_groups(self.elasticache_backend).values())
        return PaginatedResult({"CacheParameterGroups": groups})

    def parameters(self: Any) -> ActionResult:
        rows = [{"ParameterName": name, "ParameterValue": value, "Source": "user"}
                for name, value in _parameter_group(self).parameters.items()]  # fmt: skip
        return PaginatedResult({"Parameters": rows})

    def modify(self: Any) -> ActionResult:
        group = _parameter_group(self)
        for pair in self._get_param("ParameterNameValues", []):
            group.parameters[pair["ParameterName"]] = pair["ParameterValue"]
        return ActionResult({"CacheParameterGroupName": group.cache_parameter_group_name})

    def reset(self: Any) -> ActionResult:
        group = _parameter_group(self)
        for pair in self._get_param("ParameterNameValues", []):
            group.parameters.pop(pair["ParameterName"], None)
        return ActionResult({"CacheParameterGroupName": group.cache_parameter_group_name})

    def delete(self: Any) -> ActionResult:
        backend, group = self.elasticache_backend, _parameter_group(self)
        name = group.cache_parameter_group_name
        if users := _users(backend, "cache_parameter_group_name", name):
            raise InUse("InvalidCacheParameterGroupState", f"One or more clusters use {name}: {users}.")
        backend.tagging_service.delete_all_tags_for_resource(group.arn)
        del _parameter_groups(backend)[name]
        return EmptyResult()

    stock_init, stock_iter = models.ElastiCacheBackend.__init__, models.ElastiCacheBackend.iter_tagged_resources

    def init(self: Any, *args: Any, **more: Any) -> None:
        stock_init(self, *args, **more)
        self.arn_regex = re.compile(self.arn_regex.pattern.replace("(cluster|", "(cluster|parametergroup|"))

    def iter_tagged_resources(self: Any) -> Iterator[TaggedResource]:
        yield from stock_iter(self)
        for group in _parameter_groups(self).values():
            tags = self.tagging_service.get_tag_dict_for_resource(group.arn)
            yield TaggedResource(arn=group.arn, tags=tags, resource_type="elasticache:parametergroup")

    models.ElastiCacheBackend.__init__ = init
    models.ElastiCacheBackend.iter_tagged_resources = iter_tagged_resources
    response = responses.ElastiCacheResponse
    response.create_cache_parameter_group, response.describe_cache_parameter_groups = create, describe
    response.describe_cache_parameters, response.modify_cache_parameter_group = parameters, modify
    response.reset_cache_parameter_group, response.delete_cache_parameter_group = reset, delete


@parameter_group.shown_by
def _parameter_group_probe(client: Client) -> bool:
    cache = client("elasticache")
    name = {"CacheParameterGroupName": "p"}
    made = cache.create_cache_parameter_group(
        **name, CacheParameterGroupFamily="valkey8", Description="p", Tags=[{"Key": "a", "Value": "1"}]
    )
    pairs = [{"ParameterName": "maxmemory-policy", "ParameterValue": "allkeys-lru"},
             {"ParameterName": "timeout", "ParameterValue": "9"}]  # fmt: skip
    cache.modify_cache_parameter_group(**name, ParameterNameValues=pairs)
    cache.reset_cache_parameter_group(**name, ParameterNameValues=[{"ParameterName": "timeout"}])
    set_by_user = cache.describe_cache_parameters(**name, Source="user")["Parameters"]
    tags = cache.list_tags_for_resource(ResourceName=made["CacheParameterGroup"]["ARN"])["TagList"]
    cache.create_replication_group(ReplicationGroupId="p", ReplicationGroupDescription="p", CacheParameterGroupName="p")
    refused = _probe.refused(lambda: cache.delete_cache_parameter_group(**name), "InvalidCacheParameterGroupState")
    cache.delete_replication_group(ReplicationGroupId="p")
    cache.delete_cache_parameter_group(**name)
    gone = _probe.refused(lambda: cache.describe_cache_parameter_groups(**name), "CacheParameterGroupNotFound")
    return (
        refused
        and gone
        and tags == [{"Key": "a", "Value": "1"}]
        and [(row["ParameterName"], row["ParameterValue"]) for row in set_by_user]
        == [("maxmemory-policy", "allkeys-lru")]
    )


@restores("A deleted replication group is gone after it was told to be deleting")
def delete_replication_group() -> None:
    stock = models.ElastiCacheBackend.delete_replication_group

    def delete(self: Any, replication_group_id: str, retain_primary_cluster: bool | None) -> Any:
        group = stock(self, replication_group_id, retain_primary_cluster)
        self.tagging_service.delete_all_tags_for_resource(group.arn)
        return self.replication_groups.pop(replication_group_id)

    models.ElastiCacheBackend.delete_replication_group = delete


@delete_replication_group.shown_by
def _delete_replication_group(client: Client) -> bool:
    cache = client("elasticache")
    cache.create_replication_group(ReplicationGroupId="p", ReplicationGroupDescription="p")
    told = cache.delete_replication_group(ReplicationGroupId="p")["ReplicationGroup"]["Status"]
    return told == "deleting" and not cache.describe_replication_groups()["ReplicationGroups"]


@restores("A replication group leaves the final snapshot that its deletion asked for")
def final_snapshot() -> None:
    stock = responses.ElastiCacheResponse.delete_replication_group

    def delete(self: Any) -> ActionResult:
        if name := self._get_param("FinalSnapshotIdentifier"):
            self.elasticache_backend.create_snapshot(name, self._get_param("ReplicationGroupId"), None, None, None)
        return stock(self)

    responses.ElastiCacheResponse.delete_replication_group = delete


@final_snapshot.shown_by
def _final_snapshot(client: Client) -> bool:
    cache = client("elasticache")
    cache.create_replication_group(ReplicationGroupId="p", ReplicationGroupDescription="p")
    cache.delete_replication_group(ReplicationGroupId="p", FinalSnapshotIdentifier="last")
    (snapshot,) = cache.describe_snapshots()["Snapshots"]
    return (snapshot["SnapshotName"], snapshot["ReplicationGroupId"]) == ("last", "p")


@restores("A replication group has as many nodes as were asked for")
def nodes() -> None:
    stock = models.ReplicationGroup._set_node_members_clusters_disabled

    def members(self: Any, *, num_cache_clusters: int, replicas_per_node_group: int, **more: Any) -> None:
        replicas = replicas_per_node_group or num_cache_clusters - 1
        stock(self, num_cache_clusters=num_cache_clusters, replicas_per_node_group=replicas, **more)

    def resize(self: Any) -> ActionResult:
        (group,) = self.elasticache_backend.describe_replication_groups(self._get_param("ReplicationGroupId"))
        (node_group,) = group.node_groups
        group.member_clusters.clear()
        node_group["node_group_members"].clear()
        group._set_node_members_clusters_disabled(
            member_clusters=group.member_clusters,
            replication_group_id=group.replication_group_id,
            replication_group_domain=node_group["primary_endpoint_address"].removeprefix("master."),
            node_group=node_group,
            preferred_cache_cluster_azs=[],
            num_cache_clusters=self._get_int_param("NewReplicaCount") + 1,
            replicas_per_node_group=0,
        )
        return ActionResult({"ReplicationGroup": group})

    models.ReplicationGroup._set_node_members_clusters_disabled = members
    responses.ElastiCacheResponse.increase_replica_count = resize
    responses.ElastiCacheResponse.decrease_replica_count = resize


@nodes.shown_by
def _nodes(client: Client) -> bool:
    cache = client("elasticache")
    counts = []
    for made in (
        cache.create_replication_group(ReplicationGroupId="p", ReplicationGroupDescription="p", NumCacheClusters=2),
        cache.increase_replica_count(ReplicationGroupId="p", NewReplicaCount=2, ApplyImmediately=True),
        cache.decrease_replica_count(ReplicationGroupId="p", NewReplicaCount=0, ApplyImmediately=True),
    ):
        group = made["ReplicationGroup"]
        counts.append((len(group["MemberClusters"]), len(group["NodeGroups"][0]["NodeGroupMembers"])))
    return counts == [(2, 2), (3, 3), (1, 1)]


#: What ModifyReplicationGroup changes of the nodes: parameter and the attribute that moto keeps it in.
OF_THE_NODES = {
    "EngineVersion": "engine_version",
    "SecurityGroupIds": "security_group_ids",
    "CacheParameterGroupName": "cache_parameter_group_name",
    "PreferredMaintenanceWindow": "preferred_maintenance_window",
}


@restores("The nodes of a replication group tell what it was made with and modified to")
def members() -> None:
    stock_describe = models.ElastiCacheBackend.describe_cache_clusters
    stock_modify = responses.ElastiCacheResponse.modify_replication_group

    def describe(self: Any, cache_cluster_id: str | None = None) -> list[Any]:
        ours = [_member(group, name) for group in self.replication_groups.values() for name in group.member_clusters]
        if cache_cluster_id is None:
            return stock_describe(self) + ours
        return [one for one in ours if one["CacheClusterId"] == cache_cluster_id] or stock_describe(
            self, cache_cluster_id
        )

    def modify(self: Any) -> ActionResult:
        answer = stock_modify(self)
        (group,) = self.elasticache_backend.describe_replication_groups(self._get_param("ReplicationGroupId"))
        for parameter, attribute in OF_THE_NODES.items():
            if (value := self._get_param(parameter)) is not None:
                setattr(group, attribute, value)
        return answer

    models.ElastiCacheBackend.describe_cache_clusters = describe
    responses.ElastiCacheResponse.modify_replication_group = modify


def _member(group: Any, name: str) -> dict[str, Any]:
    version = str(group.engine_version or "8.0")
    groups = [{"SecurityGroupId": one, "Status": "active"} for one in group.security_group_ids or []]
    parameters = group.cache_parameter_group_name or f"default.{group.engine}{version.split('.')[0]}"
    return {
        "CacheClusterId": name,
        "ReplicationGroupId": group.replication_group_id,
        "CacheClusterStatus": "available",
        "Engine": group.engine,
        # AWS chooses the patch.
        "EngineVersion": version if version.count(".") > 1 else f"{version}.1",
        "CacheNodeType": group.cache_node_type,
        "CacheSubnetGroupName": group.cache_subnet_group_name,
        "SecurityGroups": groups,
        "CacheParameterGroup": {"CacheParameterGroupName": parameters, "ParameterApplyStatus": "in-sync"},
        "PreferredMaintenanceWindow": group.preferred_maintenance_window or "sun:05:00-sun:06:00",
    }


@members.shown_by
def _members(client: Client) -> bool:
    cache = client("elasticache")
    cache.create_replication_group(
        ReplicationGroupId="p",
        ReplicationGroupDescription="p",
        Engine="valkey",
        EngineVersion="8.0",
        SecurityGroupIds=["sg-1"],
    )
    cache.modify_replication_group(ReplicationGroupId="p", EngineVersion="8.1", SecurityGroupIds=["sg-2"])
    (node,) = cache.describe_cache_clusters(CacheClusterId="p-001")["CacheClusters"]
    return (
        node["ReplicationGroupId"] == "p"
        and node["EngineVersion"].startswith("8.1.")
        and [group["SecurityGroupId"] for group in node["SecurityGroups"]] == ["sg-2"]
        and node["CacheParameterGroup"]["CacheParameterGroupName"] == "default.valkey8"
    )


@restores("A replication group asks for the password that it was made with")
def auth_token() -> None:
    stock = models.ReplicationGroup.__init__

    def init(self: Any, *args: Any, **more: Any) -> None:
        stock(self, *args, **more)
        self.auth_token = more.get("auth_token")

    models.ReplicationGroup.__init__ = init


@auth_token.shown_by
def _auth_token(client: Client) -> bool:
    # No API call returns the password: look where the local cache looks.
    client("elasticache").create_replication_group(
        ReplicationGroupId="probe", ReplicationGroupDescription="p", AuthToken="0123456789abcdef"
    )
    group = models.elasticache_backends[ACCOUNT_ID][REGION].replication_groups["probe"]
    return getattr(group, "auth_token", None) == "0123456789abcdef"


@restores("A password is replaced in two steps: ROTATE lets the old one work beside the new one, SET ends that")
def auth_token_update() -> None:
    stock = responses.ElastiCacheResponse.modify_replication_group

    def modify_replication_group(self: Any) -> Any:
        token, strategy = self._get_param("AuthToken"), self._get_param("AuthTokenUpdateStrategy") or "ROTATE"
        if token:
            group = self.elasticache_backend.describe_replication_groups(self._get_param("ReplicationGroupId"))[0]
            accepted = getattr(group, "accepted_auth_tokens", [getattr(group, "auth_token", None)])
            if strategy == "SET" and token not in accepted:
                raise InvalidParameterValueException("The AUTH token can be set only after it was rotated in.")
            group.accepted_auth_tokens = [token] if strategy == "SET" else [token, accepted[0]]
            group.auth_token, group.auth_token_last_modified_date = token, utcnow()
        return stock(self)

    responses.ElastiCacheResponse.modify_replication_group = modify_replication_group


@auth_token_update.shown_by
def _auth_token_update(client: Client) -> bool:
    cache = client("elasticache")
    cache.create_replication_group(ReplicationGroupId="probe", ReplicationGroupDescription="p", AuthToken="a" * 16)

    def update(token: str, strategy: str) -> tuple[Any, list[str]]:
        cache.modify_replication_group(
            ReplicationGroupId="probe", AuthToken=token, AuthTokenUpdateStrategy=strategy, ApplyImmediately=True
        )
        told = cache.describe_replication_groups(ReplicationGroupId="probe")["ReplicationGroups"][0]
        group = models.elasticache_backends[ACCOUNT_ID][REGION].replication_groups["probe"]
        return told["AuthTokenLastModifiedDate"], getattr(group, "accepted_auth_tokens", [])

    with contextlib.suppress(cache.exceptions.InvalidParameterValueException):
        update("b" * 16, "SET")
        return False
    rotated, both = update("b" * 16, "ROTATE")
    ended, one = update("b" * 16, "SET")
    return both == ["b" * 16, "a" * 16] and one == ["b" * 16] and ended > rotated
