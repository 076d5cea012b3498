"""ElastiCache."""

from __future__ import annotations

from typing import Any

from moto.core.responses import EmptyResult
from moto.elasticache import responses

from localcloud.patches import Client, _probe, restores


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
