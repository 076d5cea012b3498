"""The large environment's life."""

from __future__ import annotations

import drifts
import pytest
from lifecycle import Environment
from steps import Lifecycle


class TestProduction(Lifecycle):
    name = "production"
    # Without it the fleet's own key would stay, for the snapshots.
    destroy_arguments = ("-e", "fleet_final_snapshot=false")

    def drift(self, environment: Environment) -> set[drifts.Drift]:
        hands = (
            drifts.remove_a_route,
            drifts.widen_a_role,
            drifts.retag_a_secret,
            drifts.remove_a_lifecycle_policy,
            drifts.set_a_cache_parameter,
            drifts.remove_a_scaling_policy,
            drifts.keep_logs_for_ever,
            drifts.edit_the_dashboard,
        )
        return {hand(environment) for hand in hands}

    @pytest.mark.long
    def test_destroy_again(self, environment: Environment) -> None:
        super().test_destroy_again(environment)

    def test_create_after_destroy_with_the_deployers_policy_only(self, environment: Environment) -> None:
        """Its own key and its secrets wait for their deletion, and are taken back."""
        with environment.as_deployer():
            run = environment.run("provision")
        assert run.code == 0, run.output[-4000:]
        called = {call["operation"] for call in run.calls}
        assert {"CancelKeyDeletion", "EnableKey", "RestoreSecret"} <= called
