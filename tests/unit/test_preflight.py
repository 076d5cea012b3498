"""Bad input: one clear sentence each, before any API call and with nothing changed."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from ansible_runs import run_ansible

ROOT = Path(__file__).parents[2]
PREFLIGHT = ROOT / "playbooks" / "preflight.yml"
GOOD = {"fleet_name": "demo", "fleet_region": "us-east-1", "fleet_domain": "localhost"}
SHARED = yaml.safe_load((ROOT / "inventories" / "example" / "group_vars" / "all" / "00_common.yml").read_text())
FLEET_DEFAULTS = {name: value for name, value in SHARED.items() if name.startswith("fleet_")}
NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens


def one_task(hosts, task="ansible.builtin.debug: {msg: reached}"):
    return f"- {{name: Play, hosts: {hosts}, gather_facts: false, tasks: [{{name: Task, {task}}}]}}\n"


@pytest.fixture
def preflight(tmp_path, play):
    """Run the preflight in an environment with these values and return the process and its sentences."""

    def run(values, *arguments, files=None, connection=None):
        folder = tmp_path / "environment"
        (folder / "group_vars" / "all").mkdir(parents=True)
        connection = connection or {"endpoint_url": NOBODY, "access_key": "a", "secret_key": "b"}
        values = {"fleet_aws_connection": connection} | {
            name: value for name, value in values.items() if value is not None
        }
        (folder / "hosts.ini").write_text("")
        (folder / "group_vars" / "all" / "00_common.yml").write_text(yaml.safe_dump(FLEET_DEFAULTS))
        (folder / "group_vars" / "all" / "10_own.yml").write_text(yaml.safe_dump(values))
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        process = play(PREFLIGHT, *arguments, inventory=folder)
        assert "Traceback" not in process.stdout + process.stderr
        _, _, failed = process.stdout.partition("msg:")
        return process, " ".join(failed.partition("PLAY RECAP")[0].split()).replace("''", "'")  # as YAML quotes it

    return run


FAULTS = {
    "no domain": ({"fleet_domain": None}, "fleet_domain is not set: name the domain"),
    "no name": ({"fleet_name": None}, "fleet_name is not set"),
    "no region": ({"fleet_region": None}, "fleet_region is not set"),
    "unknown region": (
        {"fleet_region": "us-esat-1"},
        'fleet_region is "us-esat-1", which is no AWS region: did you mean us-east-1?',
    ),
    "region without a service": (
        {"fleet_region": "us-iso-west-1", "aws_load_balancer_waf": True},
        (
            'fleet_region is "us-iso-west-1", where AWS has no AWS WAF: choose another region, or set '
            "aws_load_balancer_waf to false."
        ),
    ),
    "name in capitals": ({"fleet_name": "Demo"}, 'fleet_name is "Demo", but AWS takes it into names'),
    "name ends with a dash": ({"fleet_name": "demo-"}, 'fleet_name is "demo-", but AWS takes it into names'),
    "name of AWS": ({"fleet_name": "internal-x"}, 'AWS keeps load balancer names that begin with "internal-"'),
    "name too long": (
        {"fleet_name": "a-fleet-with-a-very-long-name"},
        (
            '"a-fleet-with-a-very-long-name-main-writer" has 41 characters, but AWS allows 32: fleet_name (29) and '
            "the cell's name (4) may have 24 together, so shorten fleet_name to at most 20."
        ),
    ),
    "no cell": ({"fleet_cells": []}, "fleet_cells is empty, but a fleet has at least one cell"),
    "one cell twice": (
        {"fleet_cells": [{"name": "main"}, {"name": "main"}]},
        "fleet_cells names main, main, and one of them twice: give each cell a name of its own.",
    ),
    "cell in capitals": (
        {"fleet_cells": [{"name": "main"}, {"name": "Second"}]},
        'fleet_cells has the name "Second", but AWS takes it into names',
    ),
    "a cell's name too long": (
        {"fleet_cells": [{"name": "main"}, {"name": "of-the-search-and-ads-teams"}]},
        '"demo-of-the-search-and-ads-teams-writer" has 39 characters, but AWS allows 32',
    ),
    "cache name too long": ({"aws_cache_name": "c" * 41}, "with 41 characters, but ElastiCache allows 40: shorten it."),
    "bucket name too long": (
        {"fleet_name": "a-fleet-with-a-name-x", "fleet_region": "ap-southeast-2", "fleet_cells": [{"name": "a"}]},
        (
            'chromafleet-a-fleet-with-a-name-x-000000000000-ap-southeast-2-logs", has 66 characters, but S3 allows 63: '
            "shorten fleet_name to at most 18, or set aws_storage_access_logs_name."
        ),
    ),
    "domain with a scheme": (
        {"fleet_domain": "https://x.com/"},
        'fleet_domain is "https://x.com/", which is no host name',
    ),
    "domain of nobody": ({"fleet_domain": "chroma.example.com"}, "which nobody can own"),
    "maximum below minimum": (
        {"fleet_readers_min": 3, "fleet_readers_max": 2},
        "fleet_readers_max is 2, below fleet_readers_min, which is 3: raise fleet_readers_max to at least 3",
    ),
    "desired outside": (
        {"fleet_readers_max": 2, "fleet_readers_desired": 4},
        "fleet_readers_desired is 4, outside fleet_readers_min to fleet_readers_max: set it to a number from 0 to 2.",
    ),
    "negative": ({"fleet_readers_min": -1}, "are -1, -1, 0: each must be a whole number, 0 or more."),
    "OTLP to nobody": (
        {"fleet_otlp": "collector"},
        'fleet_otlp is "collector", but must be agent, none, or the URL of an OTLP collector with its port, such as',
    ),
    "more than all traced": ({"fleet_traced": 10}, "fleet_traced is 10, but is a share of the requests, such as 0.01"),
    "moving version": (
        {"fleet_chroma_version": "latest"},
        'fleet_chroma_version is "latest", but a fleet needs one that never moves',
    ),
    "wrong type": ({"fleet_secure_logging": "maybe"}, "argument 'fleet_secure_logging' is of type str"),
    "tags": ({"fleet_tags": {"team": "search"}}, "fleet_tags must be a dictionary in which chromafleet:fleet is"),
    "tags that are none": ({"fleet_tags": "x"}, "fleet_tags must be a dictionary"),
    "misspelt option": ({"fleet_aws_connection": {"profil": "x"}}, "fleet_aws_connection.profil. Supported parameters"),
    "region in the connection": ({"fleet_aws_connection": {"region": "us-east-1"}}, "without a region"),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What each case of FAULTS is told; all in one run, because a start of Ansible takes seconds."""
    folder = tmp_path_factory.mktemp("verdicts")
    tasks = []
    for case, (own, _) in (FAULTS | {"good": ({}, "")}).items():
        values = {name: value for name, value in (GOOD | own).items() if value is not None}
        report = {
            "ansible.builtin.copy": {
                "content": "{{ ansible_failed_result.msg }}",
                "dest": str(folder / case),
                "mode": "0600",
            }
        }
        role = {"name": "chromafleet.aws.fleet", "tasks_from": "validate", "rolespec_validate": False}
        validate = {"ansible.builtin.include_role": role, "vars": values}
        tasks.append({"name": case, "block": [validate], "rescue": [report]})
    playbook = [{"name": "All", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (folder / "play.yml").write_text(yaml.safe_dump(playbook))
    process = run_ansible(folder / "play.yml", inventory="localhost,", cwd=folder)
    assert process.returncode == 0, process.stdout + process.stderr
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("case", FAULTS)
def test_bad_input_is_one_sentence(verdicts, case):
    assert FAULTS[case][1] in verdicts[case]
    assert len(verdicts[case].splitlines()) == 1, "more than the one fault is told"


def test_good_input_is_silent(verdicts):
    assert "good" not in verdicts


def test_bad_input_stops_before_any_call(preflight):
    process, said = preflight(GOOD | {"fleet_domain": None})
    assert process.returncode == 2
    assert said.lstrip("'").startswith("fleet_domain is not set")
    assert NOBODY not in process.stdout


def test_faults_are_told_together(preflight):
    _, said = preflight({"fleet_name": "Demo", "fleet_region": "mars-1", "fleet_reigon": "CHANGE-ME", "fleet_zzzz": 1})
    for part in (
        "group_vars/all/10_own.yml) is not a variable of the role fleet: rename it to fleet_region, or remove it.",
        "remove it, or take a name that `ansible-doc -t role chromafleet.aws.fleet` lists.",
        "group_vars/all/10_own.yml) still holds the example's CHANGE-ME: set your own value.",
        'fleet_name is "Demo"',
        'fleet_region is "mars-1"',
        "fleet_domain is not set",
    ):
        assert part in said


def test_placeholder_that_another_file_seems_to_override(preflight):
    files = {"group_vars/common.yml": "fleet_cell: main\n"}
    _, said = preflight(GOOD | {"fleet_cell": "CHANGE-ME"}, files=files)
    assert "group_vars/all/10_own.yml) still holds the example's CHANGE-ME" in said


def test_placeholder_that_an_extra_variable_overrides(preflight):
    _, said = preflight(GOOD | {"fleet_domain": "CHANGE-ME"}, "-e", "fleet_domain=localhost")
    assert "CHANGE-ME" not in said


def test_misspelt_variable_of_a_group_without_hosts(preflight):
    _, said = preflight(GOOD, files={"group_vars/fleet/10.yml": "fleet_rediers_max: 3\n"})
    assert "group_vars/fleet/10.yml) is not a variable of the role fleet: rename it to fleet_readers_max" in said


def test_misspelt_extra_variable(preflight):
    _, said = preflight(GOOD, "-e", "fleet_chrome_version=1.5.9")
    assert (
        "fleet_chrome_version (extra variables, -e) is not a variable of the role fleet: "
        "rename it to fleet_chroma_version" in said
    )


def test_text_where_true_or_false_is_meant(preflight):
    """What `-e name=false` makes is true in every condition."""
    _, said = preflight(GOOD, "-e", "aws_cache_enabled=false fleet_final_snapshot=false")
    assert (
        "aws_cache_enabled (extra variables, -e) is the text 'false', which a condition takes for true: "
        """write -e '{"aws_cache_enabled": false}'.""" in said
    )
    assert "fleet_final_snapshot" not in said


def test_true_or_false_on_the_command_line(preflight):
    _, said = preflight(GOOD, "-e", '{"aws_cache_enabled": false}')
    assert "aws_cache_enabled" not in said


def test_variable_of_ones_own_is_allowed(preflight):
    _, said = preflight(
        GOOD | {"fleet_owner": "me", "fleet_own_variables": ["fleet_owner"], "chroma": "free", "other_x": 1}
    )
    assert "is not a variable" not in said


def test_inventory_of_another_region_and_fleet(preflight):
    hosts = "plugin: amazon.aws.aws_ec2\nregions: [us-west-2]\nfilters: {tag:chromafleet:fleet: other}\n"
    # In another file than an inventory: AWS must not be asked here.
    _, said = preflight(
        GOOD,
        "-e",
        '{"__fleet_inventory_files": ["{{ inventory_dir | default(ansible_inventory_sources[0]) }}/x.txt"]}',
        files={"x.txt": hosts},
    )
    assert "looks for the instances in us-west-2: name the same region in both." in said
    assert "looks for the instances of other: write the same name" in said


def test_facts_and_registered_results_are_no_input(play):
    process = play("""
- name: A later play
  hosts: one
  gather_facts: false
  tasks:
    - name: Set a fact as a role does
      ansible.builtin.set_fact:
        fleet_some_fact: 1
    - name: Register a result
      ansible.builtin.debug: {msg: x}
      register: fleet_some_result
    - name: Look
      chromafleet.aws.validate_variables:
""")
    assert process.returncode == 0, process.stdout


def test_variable_in_the_inventory_itself(play, tmp_path):
    inventory = tmp_path / "static.ini"
    inventory.write_text("[fleet]\none ansible_connection=local fleet_nmae=x\n")
    process = play(one_task("one", "chromafleet.aws.validate_variables: {}"), inventory=inventory)
    assert process.returncode == 2
    assert (
        "fleet_nmae (inventory, host one) is not a variable of the role fleet: rename it to fleet_name"
        in process.stdout
    )


# --- Credentials --------------------------------------------------------------------------------------------------


@contextmanager
def aws_that_answers(code, status=403):
    """An API whose every answer is this error."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            error = f"<Error><Code>{code}</Code><Message>No.</Message></Error>"
            body = f"<Response><Errors>{error}</Errors>{error}</Response>"  # EC2 reads the first, STS the second
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


CODES = {
    "ExpiredToken": (
        "The AWS credentials have expired (ExpiredToken): run `aws sso login` or renew the keys, then start again; "
        "nothing was changed."
    ),
    "InvalidClientTokenId": "AWS does not know the access key (InvalidClientTokenId): correct the keys",
    "SignatureDoesNotMatch": "AWS rejects the secret key (SignatureDoesNotMatch)",
    "AccessDenied": "are valid but may not call GetCallerIdentity (AccessDenied)",
    "Gremlins": "AWS refused the call: ",
}


@pytest.mark.parametrize("code", CODES)
def test_refused_credentials(preflight, code):
    with aws_that_answers(code) as url:
        process, said = preflight(GOOD, connection={"endpoint_url": url, "access_key": "a", "secret_key": "b"})
    assert process.returncode == 2
    assert CODES[code] in said


def test_keys_are_in_no_output(preflight):
    """Neither the keys' values nor, in an error, what was in the place of another option."""
    keys = {"access_key": "a", "secret_key": "s3cr3t-key", "session_token": "s3cr3t-token"}
    with aws_that_answers("ExpiredToken") as url:
        process, said = preflight(GOOD, "-vvv", connection=keys | {"endpoint_url": url})
    assert "have expired" in said
    assert "s3cr3t" not in process.stdout + process.stderr


def test_no_credentials(preflight):
    _, said = preflight(GOOD, connection={"endpoint_url": NOBODY})
    assert "No AWS credentials were found: " in said


def test_silent_local_api(preflight):
    process, said = preflight(GOOD)
    assert process.returncode == 2
    assert (
        f"The local AWS API at {NOBODY} does not answer: start it with `make local-up`, then start again; "
        "nothing was changed." in said
    )


def test_good_credentials(preflight, moto_api):
    process, said = preflight(GOOD, connection={"endpoint_url": moto_api, "access_key": "a", "secret_key": "b"})
    assert process.returncode == 0, said
    assert "changed=0" in process.stdout
    assert "failed=0" in process.stdout


# --- The inventory, which is read before any play -------------------------------------------------------------------

INVENTORIES = {
    "region": ({"regions": ["us-esat-1"]}, "is no AWS region: did you mean us-east-1?"),
    "placeholder": ({"profile": "CHANGE-ME"}, "still holds the example's CHANGE-ME (profile): set your own values."),
    "silent": ({}, f"The local AWS API at {NOBODY} does not answer: start it with `make local-up`"),
    "profile": (
        {"profile": "nope", "access_key": None, "secret_key": None},
        "The AWS profile nope is not in this machine's AWS configuration",
    ),
    "no credentials": ({"access_key": None, "secret_key": None}, "No AWS credentials were found"),
    "unknown option": ({"regoins": []}, None),
}


@pytest.mark.parametrize(("options", "sentence"), INVENTORIES.values(), ids=INVENTORIES.keys())
def test_unreadable_inventory_stops_with_one_sentence(play, tmp_path, options, sentence):
    config = {
        "plugin": "amazon.aws.aws_ec2",
        "endpoint_url": NOBODY,
        "access_key": "a",
        "secret_key": "b",
        "regions": ["us-east-1"],
    }
    inventory = tmp_path / "hosts.aws_ec2.yml"
    inventory.write_text(
        yaml.safe_dump({name: value for name, value in (config | options).items() if value is not None})
    )
    process = play(one_task("fleet"), inventory=inventory)
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.count("[ERROR]") == 1
    assert "[WARNING]" not in process.stderr
    if sentence:
        assert sentence in process.stderr


@pytest.mark.parametrize("code", ["RequestExpired", "AuthFailure", "UnauthorizedOperation"])
def test_inventory_with_refused_credentials(play, tmp_path, code):
    inventory = tmp_path / "hosts.aws_ec2.yml"
    with aws_that_answers(code) as url:
        inventory.write_text(
            f"plugin: amazon.aws.aws_ec2\nendpoint_url: {url}\naccess_key: a\nsecret_key: b\nregions: [us-east-1]\n"
        )
        process = play(one_task("fleet"), inventory=inventory)
    assert process.returncode == 1
    assert f"({code})" in process.stderr
    assert process.stderr.count("[ERROR]") == 1


def test_empty_account_is_a_readable_inventory(play, tmp_path, moto_api):
    inventory = tmp_path / "hosts.aws_ec2.yml"
    inventory.write_text(
        f"plugin: amazon.aws.aws_ec2\nendpoint_url: {moto_api}\naccess_key: a\nsecret_key: b\nregions: [us-east-1]\n"
    )
    process = play(one_task("localhost"), inventory=inventory)
    assert process.returncode == 0, process.stderr
    assert "reached" in process.stdout


# --- The role's own files -------------------------------------------------------------------------------------------


def test_defaults_are_those_that_environments_share():
    defaults = yaml.safe_load((ROOT / "roles" / "fleet" / "defaults" / "main.yml").read_text())
    only_here = {"fleet_own_variables", "fleet_layers", "fleet_cost_report", "fleet_destroy"}
    # The bucket's name holds the account's id, which is known only during a run.
    only_shared = {"fleet_boot_bucket"}
    assert {name: value for name, value in defaults.items() if name not in only_here} == {
        name: value for name, value in FLEET_DEFAULTS.items() if name not in only_shared
    }


def test_shared_defaults_hold_no_variable_that_no_role_declares(preflight):
    _, said = preflight(GOOD | {name: value for name, value in SHARED.items() if name not in FLEET_DEFAULTS})
    assert "is not a variable of the role" not in said


def test_the_example_lists_every_value_to_change(tmp_path, play):
    """What someone who copied the example and changed nothing is told."""
    example = yaml.safe_load((ROOT / "inventories" / "example" / "group_vars" / "all" / "10_example.yml").read_text())
    (tmp_path / "group_vars" / "all").mkdir(parents=True)
    (tmp_path / "hosts.ini").write_text("")
    for name in ("00_common.yml", "10_example.yml"):
        text = (ROOT / "inventories" / "example" / "group_vars" / "all" / name).read_text()
        (tmp_path / "group_vars" / "all" / name).write_text(text)
    process = play(PREFLIGHT, inventory=tmp_path)
    told = {
        name for name in example if f"{name} ({tmp_path}/group_vars/all/10_example.yml) still holds" in process.stdout
    }
    assert told == {name for name, value in example.items() if "CHANGE-ME" in str(value)}
