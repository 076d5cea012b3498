#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Set the KMS key of a log group or a topic that exists."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kms_encryption
version_added: 0.1.0
short_description: Set the KMS key of a log group or a topic
description:
  - Sets, changes or takes away the KMS key of a CloudWatch log group or an SNS topic that exists.
  - M(amazon.aws.cloudwatchlogs_log_group) takes a key for a new log group only, and M(community.aws.sns_topic) none.
author:
  - Chroma Fleet developers
options:
  log_group:
    description: Name of a log group. Its older events keep the encryption that they were written with.
    type: str
  topic_arn:
    description: ARN of a topic.
    type: str
  kms_key_arn:
    description:
      - ARN of the key; empty for none.
      - The key's policy must let the service use it, and, for a topic, those who publish to it.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Encrypt a log group
  chromafleet.aws.kms_encryption:
    log_group: /chromafleet/production/main/nginx
    kms_key_arn: arn:aws:kms:eu-central-1:123456789012:key/0f3c0b7e-58a6-4a7f-9c3e-6f4f0d7d4a11

- name: Take the key from a topic
  chromafleet.aws.kms_encryption:
    topic_arn: arn:aws:sns:eu-central-1:123456789012:production-main-alarms
    kms_key_arn: ""
"""

RETURN = r"""
kms_key_arn:
  description: ARN of the key that is set now, or would be.
  returned: always
  type: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors


class LogGroup:
    """The key of a log group."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.module = module
        self.name: str = module.params["log_group"]
        self.client = module.client("logs", retry_decorator=AWSRetry.jittered_backoff(retries=10))

    def get(self) -> str:
        """The key's ARN, or nothing."""
        answer = self.client.describe_log_groups(aws_retry=True, logGroupNamePrefix=self.name)
        for group in answer["logGroups"]:
            if group["logGroupName"] == self.name:
                return group.get("kmsKeyId", "")
        return self.module.fail_json(msg=f"There is no log group {self.name}: make it first.")

    def set(self, arn: str) -> None:
        """Set or take away the key."""
        if arn:
            self.client.associate_kms_key(aws_retry=True, logGroupName=self.name, kmsKeyId=arn)
        else:
            self.client.disassociate_kms_key(aws_retry=True, logGroupName=self.name)


class Topic:
    """The key of a topic."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.name: str = module.params["topic_arn"]
        self.client = module.client("sns", retry_decorator=AWSRetry.jittered_backoff(retries=10))

    def get(self) -> str:
        """The key's ARN, or nothing."""
        return self.client.get_topic_attributes(aws_retry=True, TopicArn=self.name)["Attributes"].get(
            "KmsMasterKeyId", ""
        )

    def set(self, arn: str) -> None:
        """Set or take away the key."""
        self.client.set_topic_attributes(
            aws_retry=True, TopicArn=self.name, AttributeName="KmsMasterKeyId", AttributeValue=arn
        )


def main() -> None:
    """Read the arguments, do the work, tell the result."""
    module = AnsibleAWSModule(
        argument_spec={
            "log_group": {"type": "str"},
            "topic_arn": {"type": "str"},
            "kms_key_arn": {"type": "str", "required": True, "no_log": False},
        },
        mutually_exclusive=[("log_group", "topic_arn")],
        required_one_of=[("log_group", "topic_arn")],
        supports_check_mode=True,
    )
    wanted = module.params["kms_key_arn"]
    resource = LogGroup(module) if module.params["log_group"] else Topic(module)
    with aws_errors(module, f"Failed to set the KMS key of {resource.name}"):
        found = resource.get()
        if found != wanted and not module.check_mode:
            resource.set(wanted)
    diff = {"before": {"kms_key_arn": found}, "after": {"kms_key_arn": wanted}} if found != wanted else {}
    module.exit_json(changed=found != wanted, kms_key_arn=wanted, diff=diff)


if __name__ == "__main__":
    main()
