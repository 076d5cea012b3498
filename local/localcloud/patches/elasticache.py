"""ElastiCache."""

from __future__ import annotations

from typing import Any

from moto.core.responses import EmptyResult
from moto.elasticache import models, responses

from localcloud.patches import Client, _probe, restores
from localcloud.settings import ACCOUNT_ID, REGION


@restores("DeleteCacheSubnetGroup exists")
def delete_subnet_group() -> None:
    def delete_cache_subnet_group(self: Any) -> EmptyResult:
        self.elasticache_backend.cache_subnet_groups.pop(self._get_param("CacheSubnetGroupName"), None)
        return EmptyResult()

    responses.ElastiCacheResponse.delete_cache_subnet_group = delete_cache_subnet_group


@delete_subnet_group.shown_by
def _delete_subnet_group(client: Client) -> bool:
    _, subnets = _probe.network(client)
    cache = client("elasticache")
    cache.create_cache_subnet_group(CacheSubnetGroupName="p", CacheSubnetGroupDescription="p", SubnetIds=subnets)
    cache.delete_cache_subnet_group(CacheSubnetGroupName="p")
    return not cache.describe_cache_subnet_groups()["CacheSubnetGroups"]


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
