"""WAF."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.resourcegroupstaggingapi import models as tagging
from moto.wafv2 import models, responses

from localcloud.patches import Client, restores


def _web_acl(client: Client, **more: Any) -> str:
    """A web ACL without rules: its ARN."""
    visibility = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": True, "MetricName": "probe"}
    made = client("wafv2").create_web_acl(
        Name="probe", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=visibility, Rules=[], **more
    )
    return made["Summary"]["ARN"]


@restores("ListResourcesForWebACL exists")
def list_resources() -> None:
    def list_resources_for_web_acl(self: Any) -> tuple[int, dict[str, str], str]:
        acl = self.wafv2_backend.get_web_acl(self._get_param("WebACLArn"), None, None)
        return 200, {"Content-Type": "application/json"}, json.dumps({"ResourceArns": acl.associated_resources})

    responses.WAFV2Response.list_resources_for_web_acl = list_resources_for_web_acl


@list_resources.shown_by
def _list_resources(client: Client) -> bool:
    arn = _web_acl(client)
    balancer = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/probe/1"
    client("wafv2").associate_web_acl(WebACLArn=arn, ResourceArn=balancer)
    return client("wafv2").list_resources_for_web_acl(WebACLArn=arn)["ResourceArns"] == [balancer]


class WebAcls(TaggableResourcesMixin):
    """A region's web ACLs, as the tagging API asks for them."""

    SERVICE_NAMESPACE = "wafv2"

    def __init__(self, backend: models.WAFV2Backend) -> None:
        self.partition = backend.partition
        self._backend = backend

    def iter_tagged_resources(self) -> Iterator[TaggedResource]:
        """Each with its tags."""
        for arn in list(self._backend.wacls):
            tags = self._backend.tagging_service.get_tag_dict_for_resource(arn)
            yield TaggedResource(arn=arn, tags=tags, resource_type="wafv2:webacl")


@restores("The tagging API finds web ACLs")
def tagged_web_acls() -> None:
    stock = tagging.iter_taggable_backends

    def backends(account_id: str, region_name: str) -> Iterator[Any]:
        yield from stock(account_id, region_name)
        yield WebAcls(models.wafv2_backends[account_id][region_name])

    tagging.iter_taggable_backends = backends


@tagged_web_acls.shown_by
def _tagged_web_acls(client: Client) -> bool:
    arn = _web_acl(client, Tags=[{"Key": "probe", "Value": "1"}])
    found = client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "probe", "Values": ["1"]}])
    return [row["ResourceARN"] for row in found["ResourceTagMappingList"]] == [arn]
