# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a migration."""

from __future__ import annotations


class MigrationError(Exception):
    """One sentence for whoever runs the migration: the thing, the bad value, what was expected, the fix."""


class RefusedError(MigrationError):
    """A server understood a request and won't do it.

    `status` is its HTTP status, `reason` its own words.
    """

    def __init__(self, sentence: str, status: int, reason: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason

    @property
    def too_large(self) -> bool:
        """Whether fewer records in one request might be taken: the body was too long, or a quota was exceeded."""
        return self.status == 413 or is_quota(self.reason)


def is_quota(reason: str) -> bool:
    """Whether a server's words speak of a quota, which waiting doesn't change."""
    return "quota" in reason.lower()
