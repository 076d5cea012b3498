"""ECR."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.ecr import models

from localcloud.patches import Client, restores


@restores("The tagging API lists, tags and untags repositories")
def tagging() -> None:
    backend = models.ECRBackend
    stock = backend.tag_resource

    def iter_tagged_resources(self: Any) -> Iterator[TaggedResource]:
        for repository in self.repositories.values():
            tags = self.tagger.get_tag_dict_for_resource(repository.arn)
            yield TaggedResource(arn=repository.arn, tags=tags, resource_type="ecr:repository")

    def tag_resource(self: Any, arn: str, tags: Any) -> None:
        """ECR's own call brings a list, the tagging API a dictionary."""
        stock(self, arn, [{"Key": key, "Value": tags[key]} for key in tags] if isinstance(tags, dict) else tags)

    backend.SERVICE_NAMESPACE = "ecr"
    backend.iter_tagged_resources = iter_tagged_resources
    backend.tag_resource = tag_resource
    if TaggableResourcesMixin not in backend.__bases__:
        backend.__bases__ = (*backend.__bases__, TaggableResourcesMixin)


@tagging.shown_by
def _tagging(client: Client) -> bool:
    made = client("ecr").create_repository(repositoryName="probe", tags=[{"Key": "a", "Value": "1"}])
    arn = made["repository"]["repositoryArn"]
    tagging_api = client("resourcegroupstaggingapi")
    tagging_api.tag_resources(ResourceARNList=[arn], Tags={"b": "2"})
    tagging_api.untag_resources(ResourceARNList=[arn], TagKeys=["a"])
    (found,) = tagging_api.get_resources(TagFilters=[{"Key": "b", "Values": ["2"]}])["ResourceTagMappingList"]
    return found == {"ResourceARN": arn, "Tags": [{"Key": "b", "Value": "2"}]}
