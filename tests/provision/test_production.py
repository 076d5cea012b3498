"""The large environment's life."""

from __future__ import annotations

from typing import ClassVar

import drifts
from lifecycle import Environment
from steps import Lifecycle


class TestProduction(Lifecycle):
    name = "production"
    # Without it the fleet's own key would stay, for the snapshots.
    destroy_arguments = ("-e", "fleet_final_snapshot=false")
    # Its own key, too.
    taken_back: ClassVar[set[str]] = Lifecycle.taken_back | {"CancelKeyDeletion", "EnableKey"}

    def drift(self, environment: Environment) -> set[drifts.Drift]:
        hands = (
            drifts.remove_a_route,
            drifts.tag_a_subnet,
            drifts.widen_a_role,
            drifts.retag_a_secret,
            drifts.remove_a_lifecycle_policy,
            drifts.set_a_cache_parameter,
            drifts.remove_a_scaling_policy,
            drifts.keep_logs_for_ever,
            drifts.edit_the_dashboard,
        )
        return {hand(environment) for hand in hands}
