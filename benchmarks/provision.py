"""What it costs to make everything, and to find everything as it should be: seconds, AWS calls, slowest tasks.

python benchmarks/provision.py [staging|production] > docs/provision.md
"""

from __future__ import annotations

import platform
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "local"), str(ROOT / "tests"), str(ROOT / "tests/provision")]

from lifecycle import Environment, Run, start_registry  # noqa: E402 (found by the line above)
from local_api import local_api  # noqa: E402

TASK = re.compile(r"^(?:chromafleet\.aws\.)?(\S.*?) -+ ([\d.]+)s$", re.MULTILINE)


def slowest(run: Run, most: int = 8) -> list[tuple[str, float]]:
    """What profile_tasks says of a run."""
    return [(name, float(seconds)) for name, seconds in TASK.findall(run.output)][:most]


def report(name: str, runs: dict[str, Run]) -> str:
    """The figures as a page of docs/."""
    lines = [
        "# What a run costs",
        "",
        f"`inventories/{name}`, `playbooks/provision.yml` against the local AWS API, 2 cores, Python",
        f"{platform.python_version()}, {platform.machine()}, nothing else running. Made by `make bench`; take ratios,",
        "not the seconds.",
        "",
        "| Run | s | AWS calls | of which change something |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {what} | {run.seconds:.0f} | {len(run.calls)} | {len(run.writes)} |" for what, run in runs.items()]
    for what, run in runs.items():
        lines += ["", f"The slowest tasks of the {what}:", "", "| Task | s |", "| --- | --- |"]
        lines += [f"| {task} | {seconds:.1f} |" for task, seconds in slowest(run)]
    calls = Counter(call["service"] for call in runs["second run"].calls)
    told = ", ".join(f"{service} {count}" for service, count in calls.most_common())
    lines += ["", f"The calls of the second run: {told}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run an environment twice, and a plan."""
    name = sys.argv[1] if len(sys.argv) > 1 else "production"
    with tempfile.TemporaryDirectory() as folder, local_api() as api:
        environment = Environment(name, api, start_registry(), Path(folder))
        steps = {"first run": "provision", "second run": "provision", "plan": "plan"}
        runs = {what: environment.run(playbook) for what, playbook in steps.items()}
    for what, run in runs.items():
        if run.code:
            sys.exit(f"The {what} failed:\n{run.output[-3000:]}")
    print(report(name, runs), end="")


if __name__ == "__main__":
    main()
