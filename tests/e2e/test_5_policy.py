"""What the playbooks called while hosts were there; without any it is in tests/provision."""

from __future__ import annotations

import json
from collections import defaultdict
from fnmatch import fnmatchcase

from local_api import LocalApi
from localcloud import deployer
from support import CONNECTION, Done

#: Of switches that the environments with a domain of their own don't have: docs/deployer-policy.md says so.
OTHER = {"acm:ImportCertificate"}


def test_the_deployers_policy_allows_every_call_of_the_playbooks(demo: Done) -> None:
    """All that the tests before have run: updates, rotation, snapshots, a plan."""
    calls = LocalApi(CONNECTION["endpoint_url"]).calls()
    from_here = [call for call in calls if call["access_key"] == "local" and "ansible" in call["user_agent"].lower()]
    assert len(from_here) > 500
    allowed = defaultdict(set)
    for document in json.loads(deployer.FILE.read_text()).values():
        for statement in document["Statement"]:
            for action in statement["Action"]:
                allowed[action] |= set(statement["Resource"])
    lacking = {
        f"{action} on {arn}"
        for action, arns in deployer.actions_of(from_here, "demo").items()
        for arn in arns
        if action not in OTHER and not any(fnmatchcase(arn, pattern.replace("[", "[[]")) for pattern in allowed[action])
    }
    assert lacking == set()
