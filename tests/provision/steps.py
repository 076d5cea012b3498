"""From nothing to a fleet, back to nothing, and again: the steps that every environment goes through, in this order."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import pytest
from lifecycle import Environment, Run


def in_soak(step: Callable[..., None]) -> Callable[..., None]:
    """A step that one environment goes through in the long tests only."""

    @pytest.mark.long
    @functools.wraps(step)
    def again(*arguments: Any, **named: Any) -> None:
        step(*arguments, **named)

    return again


class Lifecycle:
    """Each test goes on from where the one before it ended."""

    #: The inventory.
    name = ""
    #: What the end is asked for beside its confirmation.
    destroy_arguments: tuple[str, ...] = ()
    #: Calls that bring back what waits for its deletion.
    taken_back: ClassVar[set[str]] = {"RestoreSecret"}
    #: Variables beside the inventory's.
    values: ClassVar[dict[str, Any]] = {}

    def test_plan_of_an_empty_account(self, planned: Run) -> None:
        assert planned.code == 0, planned.output[-3000:]
        assert planned.writes == []
        create, *rest = planned.counts
        assert create > 40
        assert rest == [0, 0, 0]

    def test_create(self, environment: Environment) -> None:
        """In an account where AWS throttles: it waits, asks again and goes on."""
        for service, operation in (("ec2", "CreateSubnet"), ("iam", "CreateRole"), ("autoscaling", "PutLifecycleHook")):
            environment.api.inject(service, operation, "Throttling", "Rate exceeded", times=2)
        with self.creator(environment):
            run = environment.run("provision")
        assert run.code == 0, run.output[-4000:]
        assert run.changed > 20

    def test_create_again(self, environment: Environment) -> None:
        run = environment.run("provision")
        assert run.code == 0, run.output[-4000:]
        assert run.changed == 0
        assert run.writes == []
        self.look_at_what_was_made(environment)

    def test_what_new_instances_make_themselves_from(self, environment: Environment) -> None:
        """Published once; the hosts themselves are none of this account's."""
        records = ["ssm:PutParameter"] * len(self.values.get("fleet_cells", ["main"]))
        for writes in (["s3:PutObject", *records], []):
            run = environment.run("resolve release")
            assert run.code == 0, run.output[-3000:]
            assert run.writes == writes

    def test_plan_of_what_was_made(self, environment: Environment, planned: Run) -> None:
        run = environment.run("plan")
        assert run.code == 0, run.output[-3000:]
        assert run.writes == []
        assert run.rows == set()
        # Nothing was planned that wasn't made, and nothing made that wasn't planned.
        assert run.counts == (0, 0, 0, planned.counts[0])

    def test_what_was_changed_by_hand_is_named(self, environment: Environment) -> None:
        expected = self.drift(environment)
        run = environment.run("provision", "--check")
        assert run.code == 0, run.output[-3000:]
        assert run.writes == []
        assert run.rows == expected

    def test_what_was_changed_by_hand_is_mended(self, environment: Environment) -> None:
        with self.besides(environment):
            run = environment.run("provision")
            assert run.code == 0, run.output[-4000:]
            again = environment.run("plan")
        assert again.rows == set()
        assert again.counts[:3] == (0, 0, 0)

    def test_nothing_is_destroyed_by_a_slip(self, environment: Environment) -> None:
        for typed in ("", "productoin"):
            run = environment.run("destroy", "-e", f"confirm={typed}")
            assert run.code != 0
            assert f"so nothing was destroyed: type {self.name}" in " ".join(run.output.split())
            assert run.writes == []

    def test_plan_of_the_end(self, environment: Environment) -> None:
        run = environment.run("destroy", "--check")
        assert run.code == 0, run.output[-3000:]
        assert run.writes == []
        create, change, destroy, unchanged = run.counts
        assert (create, change, unchanged) == (0, 0, 0)
        assert destroy > 40

    def test_destroy(self, environment: Environment) -> None:
        run = environment.run("destroy", "-e", f"confirm={self.name}", *self.destroy_arguments)
        assert run.code == 0, run.output[-4000:]
        assert environment.what_is_left() == []

    def test_destroy_again(self, environment: Environment) -> None:
        run = environment.run("destroy", "-e", f"confirm={self.name}", *self.destroy_arguments)
        assert run.code == 0, run.output[-3000:]
        assert run.changed == 0
        assert run.writes == []

    def test_create_after_destroy_with_the_deployers_policy_only(self, environment: Environment) -> None:
        with environment.as_deployer():
            run = environment.run("provision")
            assert run.code == 0, run.output[-4000:]
            again = environment.run("plan")
        assert self.taken_back <= {call["operation"] for call in run.calls}
        assert again.code == 0, again.output[-3000:]
        assert again.counts[:3] == (0, 0, 0)

    def creator(self, environment: Environment) -> AbstractContextManager[None]:
        """Whose rights the creation has: everybody's, so that each call is recorded for the deployer's policy."""
        return nullcontext()

    def besides(self, environment: Environment) -> AbstractContextManager[None]:
        """What else happens before a run that mends, and what must hold after it."""
        return nullcontext()

    def look_at_what_was_made(self, environment: Environment) -> None:
        """See whatever else must hold of this environment."""

    def drift(self, environment: Environment) -> set[tuple[str, str, str]]:
        """Change things behind the playbooks' back, and say what the plan must name."""
        raise NotImplementedError
