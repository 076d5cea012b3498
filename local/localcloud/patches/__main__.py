"""`python -m localcloud.patches [--stock]`: which behaviours hold, as JSON {patch: true | false | error}."""

from __future__ import annotations

import json
import os
import sys

import boto3
from moto import mock_aws

from localcloud import patches
from localcloud.settings import REGION


def main() -> None:
    """Run every probe in an account of its own."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "probe", "AWS_SECRET_ACCESS_KEY": "probe", "AWS_DEFAULT_REGION": REGION}
    found = patches.load()
    if "--stock" not in sys.argv:
        patches.apply_all()
    result: dict[str, bool | str] = {}
    for patch in found:
        with mock_aws():
            try:
                result[patch.name] = bool(
                    patch.holds(lambda service, **keys: boto3.client(service, region_name=REGION, **keys))
                )
            except Exception as error:  # a crash of moto is an answer here, and any kind can come
                result[patch.name] = f"{type(error).__name__}: {error}"
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
