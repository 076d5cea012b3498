"""The small environment's life."""

from __future__ import annotations

import drifts
from lifecycle import Environment
from steps import Lifecycle


class TestStaging(Lifecycle):
    name = "staging"

    def drift(self, environment: Environment) -> set[drifts.Drift]:
        hands = (
            drifts.open_a_security_group,
            drifts.tag_a_subnet,
            drifts.remove_a_listener_rule,
            drifts.suspend_versioning,
            drifts.delete_an_alarm,
            drifts.grow_a_group,
        )
        return {hand(environment) for hand in hands}
