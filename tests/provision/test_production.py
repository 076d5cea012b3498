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

    def test_create_after_destroy_takes_keys_and_secrets_back(self, environment: Environment) -> None:
        """As far as that: a quota stops the run, and `make soak` goes on from there."""
        environment.api.inject("ecr", "CreateRepository", "LimitExceededException", "The limit has been exceeded.")
        run = environment.run("provision")
        assert run.code != 0
        assert "LimitExceededException" in run.output
        assert {"kms:CancelKeyDeletion", "kms:EnableKey", "secretsmanager:RestoreSecret"} <= set(run.writes)

    @pytest.mark.long
    def test_create_after_destroy_with_the_deployers_policy_only(self, environment: Environment) -> None:
        super().test_create_after_destroy_with_the_deployers_policy_only(environment)
