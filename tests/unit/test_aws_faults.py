"""AWS's errors as one sentence with the fix."""

from __future__ import annotations

import pytest
from ansible_collections.chromafleet.aws.plugins.filter.aws_fault import aws_fault

ERROR = "Failed to create it: An error occurred ({code}) when calling the {operation} operation: {message}"
CASES = {
    "quota": (
        ("VpcLimitExceeded", "CreateVpc", "The maximum number of VPCs has been reached."),
        (
            "A quota of this account is used up (VpcLimitExceeded at CreateVpc: The maximum number of VPCs has been "
            "reached): ask for more in Service Quotas or remove what is no longer needed, then start again; what was "
            "made is found again."
        ),
    ),
    "quota of a cache": (
        ("NodeQuotaForCustomerExceeded", "CreateReplicationGroup", "No more nodes."),
        "(NodeQuotaForCustomerExceeded at CreateReplicationGroup: No more nodes)",
    ),
    "too many": (("TooManyLoadBalancers", "CreateLoadBalancer", "No."), "A quota of this account is used up"),
    "throttled": (
        ("Throttling", "DescribeAutoScalingGroups (reached max retries: 9)", "Rate exceeded"),
        "AWS still throttles this account's calls after many retries (Throttling",
    ),
    "a rate is no quota": (
        ("RequestLimitExceeded", "RunInstances", "Request limit exceeded."),
        "AWS still throttles this account's calls after many retries (RequestLimitExceeded at RunInstances)",
    ),
    "capacity": (
        ("InsufficientInstanceCapacity", "RunInstances", "No r7i.large in us-east-1a."),
        "AWS has no capacity of this kind left just now (InsufficientInstanceCapacity at RunInstances: No r7i.large",
    ),
    "expired on the way": (
        ("ExpiredToken", "CreateSubnet", "The token has expired"),
        "run `aws sso login` or renew the keys, then start again; what was made is found again.",
    ),
    "unknown": (("Gremlins", "CreateVpc", "No."), "AWS refused the call: Failed to create it: An error occurred (Grem"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_stopped_a_run(case):
    (code, operation, message), sentence = CASES[case]
    said = aws_fault(ERROR.format(code=code, operation=operation, message=message), started=True)
    assert sentence in said
    assert "nothing was changed" not in said


def test_a_sentence_of_our_own_stays():
    assert aws_fault("fleet_name is not\n set.") == "fleet_name is not set."
