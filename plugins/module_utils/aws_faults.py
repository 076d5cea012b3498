# SPDX-License-Identifier: Apache-2.0
"""What went wrong between this machine and AWS, as one sentence with the fix."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible_collections.chromafleet.aws.plugins.module_utils.spelling import closest

if TYPE_CHECKING:
    from collections.abc import Iterable

# The order matters: an expired token is also an access that was denied. Every pattern is an error code of AWS or
# the fixed text of a botocore exception; modules hand on no more than the text.
EXPIRED = re.compile(
    r"(ExpiredTokenException|ExpiredToken|RequestExpired|UnauthorizedSSOToken|SSOTokenLoadError|TokenRetrievalError"
    r"|Error loading SSO Token|SSO session associated with this profile has expired"
    r"|Token has expired and refresh failed)"
)
SIGNATURE = re.compile(r"(SignatureDoesNotMatch|InvalidSignatureException|IncompleteSignature)")
UNKNOWN_KEY = re.compile(r"(InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId|AuthFailure)")
NO_PROFILE = re.compile(r"config profile \((?P<profile>[^)]+)\) could not be found")
NO_CREDENTIALS = re.compile(
    r"(Unable to locate credentials|Partial credentials found|NoCredentialsError"
    r"|Error when retrieving credentials|NoAuthHandlerFound)"
)
NO_ANSWER = re.compile(
    r"(?:Could not connect to the endpoint URL|[Tt]imeout on endpoint URL|Failed to connect to proxy URL"
    r"|Connection was closed before we received a valid response from endpoint URL"
    r"|SSL validation failed for):? \"?(?P<url>[a-z]+://[^\s\"]+)"
)
DENIED = re.compile(r"(AccessDeniedException|AccessDenied|UnauthorizedOperation|ExplicitDeny)")
OPERATION = re.compile(r"when calling the (\w+) operation")
# Before the quotas, because RequestLimitExceeded is none.
THROTTLED = re.compile(
    r"\b(Throttling(?:Exception)?|ThrottledException|RequestLimitExceeded|RequestThrottled(?:Exception)?"
    r"|TooManyRequestsException|SlowDown|PriorRequestNotComplete)\b"
)
QUOTA = re.compile(
    r"\b(\w*(?:Limits?|Quota)Exceeded(?:Exception|Fault)?|\w*QuotaForCustomerExceeded(?:Fault)?"
    r"|TooMany(?:Buckets|LoadBalancers|TargetGroups|Targets|Rules|Listeners|Certificates)\w*"
    r"|MaxSpotInstanceCountExceeded)\b"
)
CAPACITY = re.compile(r"\b(Insufficient\w*Capacity\w*)\b")
# botocore: An error occurred (Code) when calling the Operation operation (reached max retries: 4): message
MESSAGE = re.compile(r"when calling the \w+ operation[^:]*: (?P<message>.+?)(?:\.? *$)", re.DOTALL)

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
AGAIN = "start again; nothing was changed"


def explain(text: str, connection: dict[str, Any] | None = None, *, started: bool = False) -> str | None:
    """One sentence for the text of an AWS error, or None where no pattern knows it.

    `started` says that the run may have changed something before.
    """
    sentence = _explain(text, connection)
    return sentence.replace(AGAIN, "start again; what was made is found again") if sentence and started else sentence


def _explain(text: str, connection: dict[str, Any] | None) -> str | None:
    profile = (connection or {}).get("profile")
    whose = f" of profile {profile}" if profile else ""
    if match := NO_PROFILE.search(text):
        return (
            f"The AWS profile {match['profile']} is not in this machine's AWS configuration: create it with "
            f"`aws configure --profile {match['profile']}`, or correct `profile`, then {AGAIN}."
        )
    if match := EXPIRED.search(text):
        login = f"aws sso login --profile {profile}" if profile else "aws sso login"
        code = match[1] if " " not in match[1] else "the SSO session ended"
        return f"The AWS credentials{whose} have expired ({code}): run `{login}` or renew the keys, then {AGAIN}."
    if match := SIGNATURE.search(text):
        return (
            f"AWS rejects the secret key{whose} ({match[1]}): the secret key does not belong to the access key, or "
            f"this machine's clock is wrong; correct it, then {AGAIN}."
        )
    if match := UNKNOWN_KEY.search(text):
        return (
            f"AWS does not know the access key{whose} ({match[1]}): correct the keys of the profile, of the "
            f"environment or of `fleet_aws_connection`, then {AGAIN}."
        )
    if NO_CREDENTIALS.search(text):
        return (
            f"No AWS credentials were found{whose}: run `aws configure sso` or `aws sso login`, or name a profile in "
            f"`fleet_aws_connection` and in hosts.aws_ec2.yml, then {AGAIN}."
        )
    if match := NO_ANSWER.search(text):
        return silent_endpoint(match["url"])
    if match := DENIED.search(text):
        operation = OPERATION.search(text)
        what = f"call {operation[1]}" if operation else "do this"
        return (
            f"The AWS credentials{whose} are valid but may not {what} ({match[1]}): let their policy allow it, "
            f"or use another profile, then {AGAIN}."
        )
    return _limit(text)


def _limit(text: str) -> str | None:
    """The sentence for what the account or the region has no more of."""
    operation, message = OPERATION.search(text), MESSAGE.search(text)
    at = f" at {operation[1]}" if operation else ""
    said = f": {' '.join(message['message'].split())}" if message else ""
    if match := THROTTLED.search(text):
        return (
            f"AWS still throttles this account's calls after many retries ({match[1]}{at}): other work in the account "
            f"uses up the rate that AWS allows; wait until it is done, then {AGAIN}."
        )
    if match := QUOTA.search(text):
        return (
            f"A quota of this account is used up ({match[1]}{at}{said}): ask for more in Service Quotas or remove what "
            f"is no longer needed, then {AGAIN}."
        )
    if match := CAPACITY.search(text):
        return (
            f"AWS has no capacity of this kind left just now ({match[1]}{at}{said}): choose another instance type or "
            f"availability zone, or wait, then {AGAIN}."
        )
    return None


def unknown_region(region: str, where: str, regions: Iterable[str]) -> str:
    """The sentence for a region that doesn't exist."""
    guess = closest(region, regions)
    meant = f"did you mean {guess}?" if guess else "use one such as eu-central-1."
    return f"The region {region} in {where} is no AWS region: {meant}"


def silent_endpoint(url: str) -> str:
    """The sentence for an endpoint that doesn't answer; on this machine it is the local cloud's."""
    address = urlsplit(url)
    base = f"{address.scheme}://{address.netloc}"
    if address.hostname in LOOPBACK:
        return f"The local AWS API at {base} does not answer: start it with `make local-up`, then {AGAIN}."
    return (
        f"The AWS endpoint {base} does not answer: check `fleet_region`, `endpoint_url` and this machine's network "
        f"or proxy, then {AGAIN}."
    )
