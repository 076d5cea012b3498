# SPDX-License-Identifier: Apache-2.0
"""Launch templates and the instances that were started from them."""

from __future__ import annotations

from typing import Any


def specification(group: dict[str, Any]) -> dict[str, Any]:
    """Which launch template a group has, and in which version."""
    if policy := group.get("MixedInstancesPolicy"):
        return policy["LaunchTemplate"]["LaunchTemplateSpecification"]
    return group.get("LaunchTemplate", {})


def versions_like_latest(versions: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """The newest of these versions, and the numbers of those that hold the same.

    A change that was taken back makes a new version, whose instances are what the old one's are.
    """
    newest = max(versions, key=lambda version: version["VersionNumber"])
    alike = {
        version["VersionNumber"]
        for version in versions
        if version["LaunchTemplateData"] == newest["LaunchTemplateData"]
    }
    return newest, [str(number) for number in sorted(alike)]
