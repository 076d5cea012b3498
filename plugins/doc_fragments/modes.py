# SPDX-License-Identifier: Apache-2.0
"""What modules say about check mode and diff mode."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes of a module that predicts its changes."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: full
"""

    # One that shows no differences, because it changes nothing.
    NO_DIFF = r"""
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: none
"""
