# SPDX-License-Identifier: Apache-2.0
"""The regions that the installed botocore knows; no API is called."""

from __future__ import annotations

from functools import cache

import botocore.session


@cache
def known_regions(service: str = "ec2") -> frozenset[str]:
    """The regions of a service in every partition: China, GovCloud and the isolated ones too."""
    session = botocore.session.get_session()
    return frozenset(
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions(service, partition_name=partition)
    )
