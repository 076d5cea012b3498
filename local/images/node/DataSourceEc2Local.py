"""cloud-init's EC2 in a container: it knows EC2 by its firmware, without which it would ask without a token."""

from __future__ import annotations

from typing import Any

from cloudinit import sources
from cloudinit.sources.DataSourceEc2 import CloudNames, DataSourceEc2


class DataSourceEc2Local(DataSourceEc2):
    """Named as `cloud-init status` names it on EC2."""

    #: Docker's, whatever the metadata service tells.
    network_config = None

    def _get_cloud_name(self) -> str:
        return CloudNames.AWS


def get_datasource_list(depends: tuple[str, ...]) -> list[Any]:
    """For the stage after the network's, whose routes it needs."""
    return sources.list_from_depends(depends, [(DataSourceEc2Local, (sources.DEP_FILESYSTEM, sources.DEP_NETWORK))])
