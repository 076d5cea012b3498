"""What can go wrong, each in a sentence that says what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Fault(Exception):  # noqa: N818 - it is what the user reads
    """A snapshot that was not made; `kind` is a word for programs, the text a sentence for a person."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
UNKNOWN_KEYS = {"InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"}
DENIED = {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "Forbidden", "403"}
GONE = {"NoSuchBucket", "ResourceNotFoundException"}
SLOW = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "ServiceUnavailable", "InternalError", "503"}


def of_code(code: str, place: str, said: str) -> Fault:
    """An error that AWS gave a code."""
    if code in EXPIRED:
        advice = (
            "the instance's credentials have expired: see that the clock is right (`chronyc tracking`) and that "
            "169.254.169.254 answers; new ones come by themselves"
        )
        return Fault("expired-credentials", f"{place} refused the request ({code}); {advice}.")
    if code in UNKNOWN_KEYS:
        advice = "AWS doesn't know the credentials: see which role the instance has (`aws_identity`), and remove ~/.aws"
        return Fault("unknown-credentials", f"{place} refused the request ({code}); {advice}.")
    if code in DENIED:
        advice = "the instance's role may not do this: run playbooks/provision.yml, which writes its policy"
        return Fault("access-denied", f"{place} refused the request ({code}: {said}); {advice}.")
    if code in GONE:
        return Fault("missing", f"{place} does not exist ({code}); run playbooks/provision.yml, which makes it.")
    if code in SLOW:
        return Fault("slow", f"{place} is too slow or overloaded ({code}); the next snapshot tries again by itself.")
    return Fault("aws", f"{place} answered {code}: {said}")


def of_error(error: OSError) -> Fault:
    """What the host itself refused."""
    if error.errno == 28:
        return Fault("disk-full", f"{error.filename or 'A disk'} has no room left: enlarge the volume, or empty it.")
    return Fault("host", f"{error.strerror or error}: {error.filename or ''}")


@contextmanager
def told(tell: Callable[[Fault], None]) -> Iterator[None]:
    """Tell whatever goes wrong meanwhile as a Fault; a mistake in these tools is raised as well."""
    try:
        yield
    except Fault as fault:
        tell(fault)
    except OSError as error:
        tell(of_error(error))
    except Exception as error:
        tell(Fault("bug", f"{type(error).__name__}: {error}"))
        raise


def unreachable(place: str, said: str) -> Fault:
    """No connection, or no answer in time."""
    advice = (
        "see the routes to S3 and Secrets Manager (VPC endpoints, NAT, security groups); the next snapshot tries again"
    )
    return Fault("unreachable", f"{place} can't be reached ({said}); {advice}. The next snapshot tries again.")
