"""ElastiCache."""

from __future__ import annotations

import contextlib
from typing import Any

from moto.core.responses import EmptyResult
from moto.core.utils import utcnow
from moto.elasticache import models, responses
from moto.elasticache.exceptions import InvalidParameterValueException

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
