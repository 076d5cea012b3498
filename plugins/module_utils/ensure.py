# SPDX-License-Identifier: Apache-2.0
"""What the modules share that bring a resource to what is wanted: compare, tag, remove, and tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
    compare_aws_tags,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`changed` and `diff` of a module: the wanted properties that are otherwise in what was found, or missing there.

    What is wanted to be None may be missing.
    """
    differ = [name for name, value in wanted.items() if found.get(name) != value]
    before = {name: found[name] for name in differ if name in found}
    return {"changed": bool(differ), "diff": {"before": before, "after": {name: wanted[name] for name in differ}}}


def remove(module: AnsibleAWSModule, found: Mapping[str, Any] | None, delete: Callable[[], Any]) -> dict[str, Any]:
    """Delete what was found, if anything, but not in check mode: `changed` and `diff` of the module."""
    if found and not module.check_mode:
        delete()
    return {"changed": bool(found), "diff": {"before": found or {}, "after": {}}}


def wanted_tags(found: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, str]:
    """The tags that a resource shall have by a module's options `tags` and `purge_tags`; AWS's own (`aws:`) stay."""
    if params["tags"] is None:
        return dict(found)
    to_set, to_remove = compare_aws_tags(found, params["tags"], params["purge_tags"])
    return {key: value for key, value in {**found, **to_set}.items() if key not in to_remove}


def set_tags(
    calls: tuple[Callable[..., Any], Callable[..., Any]],
    resource: Mapping[str, str],
    found: Mapping[str, str],
    wanted: Mapping[str, str],
) -> None:
    """Bring a resource's tags to what is wanted, by a service's calls that remove and that set some.

    `resource` is the argument by which both calls know it, such as `{"ResourceARN": ...}`.
    """
    untag, tag = calls
    to_set, to_remove = compare_aws_tags(found, wanted)
    if to_remove:
        untag(aws_retry=True, **resource, TagKeys=to_remove)
    if to_set:
        tag(aws_retry=True, **resource, Tags=ansible_dict_to_boto3_tag_list(to_set))


def described(resource: Mapping[str, Any] | None) -> dict[str, Any]:
    """A resource as its API describes it, in the form of a module's return value; empty for none."""
    if not resource:
        return {}
    tags = boto3_tag_list_to_ansible_dict(resource.get("Tags") or [])
    return {**camel_dict_to_snake_dict(resource, ignore_list=["Tags"]), "tags": tags}
