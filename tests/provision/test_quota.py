"""An account that may not have one more."""

from __future__ import annotations

from lifecycle import Environment


class TestQuota:
    name = "staging"

    def test_a_quota_that_is_used_up_stops_the_run_with_a_sentence(self, environment: Environment) -> None:
        environment.api.inject("ec2", "CreateVpc", "VpcLimitExceeded", "The maximum number of VPCs has been reached.")
        run = environment.run("provision")
        assert run.code != 0
        told = (
            "A quota of this account is used up (VpcLimitExceeded at CreateVpc: The maximum number of VPCs has been "
            "reached): ask for more in Service Quotas or remove what is no longer needed, then start again"
        )
        assert told in " ".join(run.output.split())
        assert run.writes == ["ec2:CreateVpc"]
