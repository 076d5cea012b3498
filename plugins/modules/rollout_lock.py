#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Let one rollout at a time change a fleet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_lock
version_added: 0.1.0
short_description: Let one rollout at a time change a fleet
description:
  - Takes, renews and frees a lock that is an object in S3. Each change of it is a conditional write, of which S3 lets
    one succeed.
  - A lock that was not renewed in time is free, so that a run that was killed blocks nobody for good.
  - The holder is this run, its user, machine and process. A lock whose holder was a process of the same machine, and
    has ended, is taken over at once.
author:
  - Chroma Fleet developers
options:
  bucket:
    description: Name of the bucket.
    type: str
    required: true
  object:
    description: Key of the lock.
    type: str
    default: rollout.json
  state:
    description:
      - V(present) takes the lock or renews it; V(absent) frees it where this run holds it.
      - V(available) fails where another run holds it, and frees it where that one's time is over; it takes nothing.
    type: str
    choices: [present, absent, available]
    default: present
  holder:
    description: Set by the action plugin. Who this run is.
    type: str
    required: true
  what:
    description: What the run does, for the message of others.
    type: str
    default: rollout
  lease:
    description: Seconds until the lock is free again unless it is renewed.
    type: int
    default: 900
  take_over:
    description: The holder whose lock is taken although its time is not over.
    type: str
    default: ""
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Let nobody else update
  chromafleet.aws.rollout_lock:
    bucket: chromafleet-production-123456789012-eu-central-1-boot
    what: rolling update

- name: Let others update again
  chromafleet.aws.rollout_lock:
    bucket: chromafleet-production-123456789012-eu-central-1-boot
    state: absent
"""

RETURN = r"""
holder:
  description: Who holds the lock; empty where nobody does.
  returned: always
  type: str
  sample: anna@laptop pid 4711
since:
  description: Since when, in UTC.
  returned: always
  type: str
  sample: "2026-03-01T10:00:00Z"
taken_from:
  description: Who held it before and did not free it.
  returned: always
  type: str
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors

FORM = "%Y-%m-%dT%H:%M:%SZ"
#: Somebody else's write came before.
LOST = ["PreconditionFailed", "ConditionalRequestConflict", "412", "409"]
FREE = {"holder": "", "since": "", "until": "", "what": ""}


class Lock:
    """The object."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self.client, self.place = client, {"Bucket": bucket, "Key": key}
        self.name = f"s3://{bucket}/{key}"
        self.etag = ""

    def read(self) -> dict[str, str]:
        """Who holds it, and which writing it is of it."""
        try:
            found = self.client.get_object(**self.place)
        # A plan of an empty account: no bucket yet.
        except is_boto3_error_code(["NoSuchKey", "NoSuchBucket"]):
            self.etag = ""
            return dict(FREE)
        self.etag = found["ETag"]
        return {**FREE, **json.loads(found["Body"].read())}

    def write(self, values: dict[str, str]) -> bool:
        """Write it, unless somebody has since it was read."""
        condition = {"IfMatch": self.etag} if self.etag else {"IfNoneMatch": "*"}
        try:
            self.client.put_object(**self.place, Body=json.dumps(values).encode(), **condition)
        except is_boto3_error_code(LOST):
            return False
        return True


def refusal(lock: Lock, found: dict[str, str]) -> str:
    """Who has it."""
    return (
        f"{lock.name}: {found['holder']} makes a {found['what']} since {found['since']}; wait for its end. "
        f"If that run is gone, its lock is free at {found['until']}, or at once with "
        f"-e 'fleet_unlock=\"{found['holder']}\"'."
    )


def refuse_others(module: AnsibleAWSModule, lock: Lock, found: dict[str, str], moment: datetime) -> None:
    """End the module where somebody else holds the lock."""
    is_over = found["until"] <= moment.strftime(FORM)
    if not is_over and found["holder"] not in ("", module.params["holder"], module.params["take_over"]):
        module.fail_json(msg=refusal(lock, found), **found)


def take(module: AnsibleAWSModule, lock: Lock, moment: datetime) -> dict[str, Any]:
    """Hold it until the lease is over; what the module returns."""
    asked = module.params
    found = lock.read()
    mine = found["holder"] == asked["holder"]
    refuse_others(module, lock, found, moment)
    now = moment.strftime(FORM)
    held = {
        "holder": asked["holder"],
        "since": found["since"] if mine else now,
        "until": (moment + timedelta(seconds=asked["lease"])).strftime(FORM),
        "what": asked["what"],
    }
    if not module.check_mode and not lock.write(held):
        found = lock.read()
        module.fail_json(msg=refusal(lock, found), **found)
    return {**held, "taken_from": "" if mine else found["holder"], "changed": not mine, "diff": difference(found, held)}


def make_available(module: AnsibleAWSModule, lock: Lock, moment: datetime) -> dict[str, Any]:
    """Forget a holder that is none any more."""
    found = lock.read()
    refuse_others(module, lock, found, moment)
    changed = found["holder"] not in ("", module.params["holder"])
    if changed and not module.check_mode and not lock.write(FREE):
        found = lock.read()
        module.fail_json(msg=refusal(lock, found), **found)
    now = FREE if changed else found
    return {**now, "taken_from": found["holder"] if changed else "", "changed": changed, "diff": difference(found, now)}


def free(module: AnsibleAWSModule, lock: Lock) -> dict[str, Any]:
    """Let others have it, unless another one holds it already."""
    found = lock.read()
    mine = found["holder"] == module.params["holder"]
    # Somebody who took it over meanwhile keeps it.
    changed = mine and (module.check_mode or lock.write(FREE))
    now = FREE if changed else found
    return {**now, "taken_from": "", "changed": changed, "diff": difference(found, now)}


def difference(before: dict[str, str], after: dict[str, str]) -> dict[str, Any]:
    """For diff mode: the time that a renewal moves is no difference."""
    return {"before": {"holder": before["holder"]}, "after": {"holder": after["holder"]}}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "object": {"type": "str", "default": "rollout.json"},
            "state": {"type": "str", "choices": ["present", "absent", "available"], "default": "present"},
            "holder": {"type": "str", "required": True},
            "what": {"type": "str", "default": "rollout"},
            "lease": {"type": "int", "default": 900},
            "take_over": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    lock = Lock(module.client("s3"), module.params["bucket"], module.params["object"])
    with aws_errors(module, lock.name):
        moment = datetime.now(UTC)
        if module.params["state"] == "absent":
            result = free(module, lock)
        elif module.params["state"] == "available":
            result = make_available(module, lock, moment)
        else:
            result = take(module, lock, moment)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
