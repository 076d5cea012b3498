"""The module chroma_migration and playbooks/migrate.yml, between real servers."""

from __future__ import annotations

import json
import threading
from importlib import import_module

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_runs import ROOT, run_ansible
from chroma_servers import DEFAULT, call, fill, make, records

pytestmark = pytest.mark.slow


@pytest.fixture
def module(servers, capsys, tmp_path):
    """Run the module between the two servers and return its result."""

    def run(*, check=False, **arguments):
        main = import_module("ansible_collections.chromafleet.aws.plugins.modules.chroma_migration").main
        source, target = ({"location": url} for url in servers)
        given = {"source": source, "target": target, "state": str(tmp_path), **arguments, "_ansible_check_mode": check}
        with patch_module_args(given), pytest.raises(SystemExit):
            main()
        return json.loads(capsys.readouterr().out)

    return run


def test_a_check_run_tells_and_a_second_run_changes_nothing(servers, module):
    old, new = servers
    fill(old, make(old, "module"), 400)
    planned = module(check=True, collections=["module"])
    assert (planned["changed"], planned["proved"]) == (True, False)
    assert (
        planned["collections"][0]["says"]
        == "400 to write, 0 equal, 400 missing ("
        + ", ".join(f"id {number}/é" for number in range(5))
        + ", ...), it does not exist in the target"
    )
    assert call(new, "GET", f"{DEFAULT}/collections_count") == 0
    done = module(collections=["module"])
    assert (done["changed"], done["proved"]) == (True, True)
    assert done["collections"][0]["says"] == "400 written, 400 equal"
    again = module(collections=["module"])
    assert (again["changed"], again["collections"][0]["written"]) == (False, 0)
    assert module(check=True, collections=["module"])["changed"] is False


def test_differences_fail_unless_they_are_expected(servers, module):
    _, new = servers
    target = f"{DEFAULT}/collections/{call(new, 'GET', f'{DEFAULT}/collections/module')['id']}"
    call(new, "POST", f"{target}/upsert", {"ids": ["foreign"], "embeddings": [[1.0] * 16]})
    failed = module(collections=["module"])
    assert failed["failed"]
    assert failed["msg"] == (
        "The target is not what the source is: module: 0 written, 400 equal, 1 extra (foreign). "
        "Stop what writes to either side and start it again."
    )
    assert module(collections=["module"], allow_differences=True)["proved"] is False
    mended = module(collections=["module"], delete_extra=True)
    assert (mended["changed"], mended["proved"], mended["collections"][0]["deleted"]) == (True, True, 1)


def test_a_wrong_input_is_one_sentence(module):
    assert module(in_flight=0)["msg"] == "in_flight is 0: expected a number from 1."
    assert module(source={"location": "/nowhere"})["msg"].startswith('The source "/nowhere" is neither an address')


@pytest.fixture
def migrate(servers, tmp_path):
    """Run playbooks/migrate.yml between the two servers."""
    (tmp_path / "hosts.ini").write_text("")
    source, target = ({"location": url, "token": "never-shown"} for url in servers)

    def run(step, **more):
        given = {
            "fleet_aws_connection": {},
            "fleet_aws_environment": {},
            "migrate_source": source,
            "migrate_target": target,
            "migrate_state": str(tmp_path / "state"),
            "migrate_collections": ["play"],
            "migrate_step": step,
            **more,
        }
        (tmp_path / "variables.json").write_text(json.dumps(given))
        playbook, variables = ROOT / "playbooks" / "migrate.yml", f"@{tmp_path / 'variables.json'}"
        return run_ansible(playbook, "-vvv", "-e", variables, inventory=tmp_path / "hosts.ini")

    return run


def test_copy_cut_over_and_rollback(servers, migrate):
    old, new = servers
    source = make(old, "play")
    fill(old, source, 300)
    copied = migrate("copy")
    assert copied.returncode == 0, copied.stdout + copied.stderr
    assert "never-shown" not in copied.stdout + copied.stderr
    call(old, "POST", f"{source}/delete", {"ids": ["id 1/é"]})
    cut = migrate("cut_over")
    assert cut.returncode == 0, cut.stdout + cut.stderr
    assert "default_database/play" in cut.stdout
    assert f"point the clients at {new}" in cut.stdout
    target = f"{DEFAULT}/collections/{call(new, 'GET', f'{DEFAULT}/collections/play')['id']}"
    assert call(new, "GET", f"{target}/count") == 299
    call(new, "POST", f"{target}/upsert", records(5, first=1000))
    back = migrate("rollback")
    assert back.returncode == 0, back.stdout + back.stderr
    assert call(old, "GET", f"{source}/count") == 304


def test_a_source_that_is_still_written_is_not_cut_over(servers, migrate):
    old, _ = servers
    source = make(old, "busy")
    fill(old, source, 100)
    stop = threading.Event()

    def write():
        number = 1000
        while not stop.wait(0.02):
            call(old, "POST", f"{source}/upsert", records(1, first=number))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    cut = migrate("cut_over", migrate_collections=["busy"])
    stop.set()
    writer.join()
    assert cut.returncode != 0
    told = " ".join(cut.stdout.split())
    # The proof finds it, or the second look does.
    assert "busy was written during the cut-over" in told or "The target is not what the source is: busy" in told
    quiet = migrate("cut_over", migrate_collections=["busy"])
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr


@pytest.mark.parametrize(
    ("step", "more", "sentence"),
    [
        ("cutover", {}, 'migrate_step is "cutover": expected copy, cut_over or rollback.'),
        ("copy", {"migrate_source": {}}, "migrate_source does not say where the records are"),
        ("rollback", {"migrate_source": {"location": "/srv"}}, "migrate_source is the directory /srv, which nothing"),
    ],
)
def test_a_wrong_step_is_one_sentence(migrate, step, more, sentence):
    done = migrate(step, **more)
    assert done.returncode != 0
    assert sentence in " ".join(done.stdout.split())
