"""Which snapshot a restore takes, what it refuses, and that a swap of directories is whole wherever it is cut off."""

from __future__ import annotations

import dataclasses
import errno
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROLES = Path(__file__).parents[2] / "roles"
TOOLS = (ROLES / "chromadb/files/tools", ROLES / "snapshot/files/tools")
IDS = ["20261126T150000Z", "20261127T150000Z", "20261128T150000Z"]
NAMES = ("choose", "faults", "proof", "restore", "returns", "settings", "shelf", "swap")
PLACE = "s3://bucket/main"


@pytest.fixture(scope="module")
def tools():
    """The tools as modules, as they find one another on a host."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for folder in TOOLS:
            patch.syspath_prepend(str(folder))
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if name not in before and file and Path(file).parent in TOOLS:
                patch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, IDS[2]),
        ({"snapshot": IDS[0]}, IDS[0]),
        ({"before": "2026-11-27T15:00:00Z"}, IDS[1]),
        ({"before": "2026-11-27T15:00"}, IDS[1]),
        ({"before": "2026-11-27T14:59:59Z"}, IDS[0]),
        ({"before": "2026-11-27T17:00:00+02:00"}, IDS[1]),
        ({"before": "2026-11-28"}, IDS[1]),
        ({"before": IDS[2]}, IDS[2]),
        ({"before": "2030-01-01T00:00:00Z"}, IDS[2]),
    ],
)
def test_choose(tools, given, wanted):
    assert tools.choose.choose(list(reversed(IDS)), PLACE, **given) == wanted


@pytest.mark.parametrize(
    ("ids", "given", "sentence"),
    [
        ([], {}, "s3://bucket/main has no published snapshot"),
        (IDS, {"snapshot": "20261127T160000Z"}, f"the nearest are {', '.join(IDS)}."),
        (IDS, {"before": "2026-11-26T14:59:59Z"}, f"of 20261126T145959Z or before; the oldest are {', '.join(IDS)}."),
        (
            IDS,
            {"before": "yesterday"},
            '"yesterday" is no time: expected ISO 8601 in UTC, such as 2026-11-28T15:00:00Z',
        ),
        (IDS, {"before": "2026-11-28", "snapshot": IDS[0]}, "give one of them"),
    ],
)
def test_choose_nothing(tools, ids, given, sentence):
    with pytest.raises(tools.faults.Fault) as fault:
        tools.choose.choose(ids, PLACE, **given)
    assert sentence in str(fault.value)


@pytest.mark.parametrize(
    ("version", "than", "newer"),
    [("1.5.9", "1.5.9", False), ("1.10.0", "1.9.9", True), ("1.5.10", "1.5.9", True), ("0.6.3", "1.5.9", False)],
)
def test_newer(tools, version, than, newer):
    assert tools.choose.is_newer(version, than) is newer


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "The request is no JSON"),
        ("[]", "no mapping"),
        ('{"snapshots": "x"}', "snapshots='x'; expected are texts for snapshot, before"),
        ('{"snapshot": 5}', "snapshot=5"),
        ('{"open": "yes"}', "open='yes'"),
    ],
)
def test_wrong_request(tools, text, sentence):
    with pytest.raises(tools.faults.Fault) as fault:
        tools.restore.parse(text)
    assert sentence in str(fault.value)


def settings_of(tools, volume):
    values = dict.fromkeys(tools.settings.Settings.__dataclass_fields__, "")
    options = ["--data", f"{volume}/data", "--checkpoints", f"{volume}/checkpoints", "--wait", "30"]
    paths = {"work": volume / "snapshot", "status": volume / "state/snapshot.json"}
    (volume / "state").mkdir()
    return tools.settings.Settings(**values | {"checkpoint": options, "bucket": "own", "cell": "main"} | paths)


def test_another_source_is_for_this_run_only(tools, tmp_path):
    settings = settings_of(tools, tmp_path)
    request = tools.restore.parse('{"source_bucket": "other", "source_cell": "big", "source_region": "eu-west-1"}')
    source = request.applied(settings)
    assert (source.place, source.region, settings.place) == ("s3://other/big", "eu-west-1", "s3://own/main")
    with pytest.raises(tools.faults.Fault) as fault, tools.restore.explained(source, request):
        raise tools.faults.of_code("AccessDenied", source.place, "no")
    assert "s3:GetObject of s3://other/big/" in str(fault.value)
    assert "docs/snapshots.md" in str(fault.value)


def test_a_request_is_for_root_only(tools, tmp_path):
    settings = settings_of(tools, tmp_path)
    tools.restore.leave(settings, tools.restore.Request(snapshot=IDS[0]))
    assert settings.request.stat().st_mode & 0o777 == 0o600
    assert tools.restore.read(settings) == tools.restore.Request(snapshot=IDS[0])


def test_the_collections_must_be_those_of_the_record(tools):
    record = {"collections": [{"id": "1", "name": "one", "records": 5}, {"id": "2", "name": "two", "records": 0}]}
    assert tools.proof.differs(record, record["collections"]) == ""
    fewer = [{**record["collections"][0], "records": 4}, record["collections"][1]]
    assert "one has 4 records, and the record says 5" in tools.proof.differs(record, fewer)
    assert "1 collections of the record are missing" in tools.proof.differs(record, record["collections"][:1])
    assert "not in the record" in tools.proof.differs(record, [{**fewer[0], "id": "3"}])


@pytest.fixture
def volume(tools, tmp_path):
    """Live data and what comes in, each with checkpoints, as the swap begins."""
    settings = settings_of(tools, tmp_path)
    for place, text in (("", "old"), ("restore/", "new")):
        for name in ("data", "checkpoints"):
            (tmp_path / place / name).mkdir(parents=True)
            (tmp_path / place / name / "whose").write_text(text)
    made = tools.swap.Volume(settings)
    incoming = [(tmp_path / "restore" / name) for name in ("data", "checkpoints")]
    inodes = [path.stat().st_ino for path in incoming]
    journal = tools.swap.Journal("restore/data", inodes[0], "restore/checkpoints", inodes[1], "data.before-now", {}, {})
    tools.swap.write(made, journal)
    return SimpleNamespace(settings=settings, volume=made, journal=journal, root=tmp_path)


def served(volume):
    return [(volume.root / name / "whose").read_text() for name in ("data", "checkpoints")]


@pytest.mark.parametrize(("exchanges", "whose"), [(0, "old"), (1, "new"), (2, "new")])
def test_a_swap_that_was_cut_off_is_settled(tools, volume, exchanges, whose):
    """By a process that ends at once, as kill -9 does it, after so many exchanges; whatever is found is completed."""
    if (child := os.fork()) == 0:
        done = 0
        exchange = tools.swap.exchange

        def counted(one, other):
            nonlocal done
            if done == exchanges:
                os._exit(9)
            exchange(one, other)
            done += 1

        tools.swap.exchange = counted
        tools.swap.move(volume.volume, volume.journal, inward=True)
        os._exit(9)
    os.waitpid(child, 0)
    assert tools.swap.read(volume.volume) == volume.journal
    # Nothing but whole directories, whatever was cut off.
    assert served(volume)[0] == whose
    for _ in range(2):
        tools.swap.settle(volume.settings)
        assert served(volume) == [whose, whose]


def test_out_again(tools, volume):
    for inward, whose in ((True, "new"), (True, "new"), (False, "old"), (False, "old")):
        tools.swap.move(volume.volume, volume.journal, inward=inward)
        assert served(volume) == [whose, whose]


def test_nobody_starts_a_server_meanwhile(tools, volume):
    """Who starts it before the swap is over finds the lock taken, and changes nothing."""
    with tools.swap.held(volume.volume, 0):
        tools.swap.exchange(volume.volume.data, volume.root / "restore/data")
        tools.swap.settle(volume.settings)
        assert served(volume) == ["new", "old"]
        with pytest.raises(tools.faults.Fault), tools.swap.held(volume.volume, 0.1):
            pass
    tools.swap.settle(volume.settings)
    assert served(volume) == ["new", "new"]


COMPOSE = """services:
  chromadb:
    image: registry/chroma@sha256:{}
    environment: {{TOKEN: a}}
"""


def test_the_image_goes_with_its_data(tools, volume):
    """The file may hold what nobody else shall read, before and after."""
    file = volume.root / "compose.yaml"
    file.write_text(COMPOSE.format("new"))
    file.chmod(0o600)
    volume.volume.compose = file
    images = {"in": "registry/chroma@sha256:old", "out": "registry/chroma@sha256:new"}
    journal = dataclasses.replace(volume.journal, images=images)
    tools.swap.write(volume.volume, journal)
    assert tools.swap.read(volume.volume) == journal
    for inward, image in ((True, "old"), (True, "old"), (False, "new"), (True, "old")):
        tools.swap.move(volume.volume, journal, inward=inward)
        assert file.read_text() == COMPOSE.format(image)
        assert file.stat().st_mode & 0o777 == 0o600


def test_data_whose_image_can_not_follow_stay_where_they_belong(tools, volume, monkeypatch):
    """As on a full disk: neither is ever served with the other's."""
    file = volume.root / "compose.yaml"
    file.write_text(COMPOSE.format("new"))
    volume.volume.compose = file
    monkeypatch.setattr(tools.swap.compose, "FILE", file)
    images = {"in": "registry/chroma@sha256:old", "out": "registry/chroma@sha256:new"}
    journal = dataclasses.replace(volume.journal, images=images)
    tools.swap.write(volume.volume, journal)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(tools.swap.compose.atomic, "write", lambda *_arguments, **_named: (_ for _ in ()).throw(full))
    with pytest.raises(tools.faults.Fault, match=r"compose\.yaml could not be written \(No space left on device\)"):
        tools.swap.move(volume.volume, journal, inward=True)
    assert served(volume) == ["old", "old"]
    # Killed between the two: the start of the server finds it.
    tools.swap.exchange(volume.volume.data, volume.root / "restore/data")
    tools.swap.settle(volume.settings)
    assert served(volume) == ["old", "old"]
    assert file.read_text() == COMPOSE.format("new")


@pytest.mark.parametrize(("kept", "out"), [("data.before-now", "new"), ("data.before-later", None)])
def test_an_undo_takes_the_image_along_that_its_data_had(tools, volume, monkeypatch, kept, out):
    """Where the last swap has put just these data aside; the status tells which image that was."""
    file = volume.root / "compose.yaml"
    file.write_text(COMPOSE.format("old"))
    (volume.root / "data.before-now").mkdir()
    attempt = tools.restore.Restore(volume.settings, file)
    attempt.volume.compose = file
    attempt.state.file.parent.mkdir(parents=True, exist_ok=True)
    attempt.state.begin()
    last = {"kept": str(volume.root / kept), "image": "registry/chroma@sha256:old"}
    attempt.state.values["last"] = last | {"replaced_image": "registry/chroma@sha256:new"}
    journals = []
    monkeypatch.setattr(tools.swap, "is_whole", lambda _data: "")
    monkeypatch.setattr(tools.swap, "stage_checkpoint", lambda _volume, _data: volume.root / "checkpoints")
    monkeypatch.setattr(tools.swap, "swap", lambda _settings, _volume, journal: journals.append(journal))
    handler = signal.getsignal(signal.SIGTERM)
    attempt.undo()
    signal.signal(signal.SIGTERM, handler)
    expected = {"in": f"registry/chroma@sha256:{out}", "out": "registry/chroma@sha256:old"} if out else {}
    assert journals[0].images == expected
    told = {"image": expected["in"], "replaced_image": expected["out"]} if out else {}
    assert {name: journals[0].told.get(name) for name in told} == told
    assert journals[0].told["undone"]


@pytest.fixture
def cell(tools, tmp_path, monkeypatch):
    """A cell whose snapshots were made by some images, and what is brought back."""
    settings = settings_of(tools, tmp_path)
    shelf = SimpleNamespace(ids=list, record=lambda _id: None)
    monkeypatch.setattr(tools.shelf, "Shelf", lambda _settings: shelf)
    monkeypatch.setattr(tools.proof, "image_of", lambda _container: ("sha256:1", "ecr/chroma@sha256:new"))
    asked = []

    def made_by(**images):
        records = {
            key: {"chroma": {"image": f"ecr/chroma@sha256:{image}"}, "records": 5} for key, image in images.items()
        }
        shelf.ids, shelf.record = lambda: sorted(records), records.get

    def bring_back(_settings, values, code=0):
        asked.append(values)
        return code

    return SimpleNamespace(settings=settings, made_by=made_by, bring_back=bring_back, asked=asked)


OLD = "localhost/chroma@sha256:old"


def test_the_newest_snapshot_of_an_image_comes_back_with_it(tools, cell, capsys):
    cell.made_by(s1="old", s2="old", s3="new")
    assert tools.returns.ask(cell.settings, OLD) == 0
    assert json.loads(capsys.readouterr().out) == {"snapshot": "s2", "image": OLD, "records": 5}
    # Another image is asked for the usual way.
    assert tools.returns.wanted(cell.settings, "localhost/chroma@sha256:other") == ""
    assert tools.returns.wanted(cell.settings, OLD) == "s2"
    # Where it fails it can be tried again.
    assert tools.returns.give(cell.settings, "s2", OLD, lambda *given: cell.bring_back(*given, code=1)) == 1
    assert tools.returns.wanted(cell.settings, OLD) == "s2"
    assert tools.returns.give(cell.settings, "s2", OLD, cell.bring_back) == 0
    assert cell.asked[-1] == {"snapshot": "s2", "image": OLD}
    assert tools.returns.wanted(cell.settings, OLD) == ""


def test_an_image_without_a_snapshot(tools, cell):
    cell.made_by(s1="new")
    with pytest.raises(tools.faults.Fault, match="no snapshot that localhost/chroma@sha256:old has made"):
        tools.returns.ask(cell.settings, OLD)
    assert tools.returns.wanted(cell.settings, OLD) == ""


def test_an_image_that_serves_already_brings_nothing_back(tools, cell, capsys):
    cell.made_by(s1="new")
    assert tools.returns.ask(cell.settings, "localhost/chroma@sha256:new") == 0
    assert json.loads(capsys.readouterr().out)["snapshot"] == ""
    assert tools.returns.wanted(cell.settings, "localhost/chroma@sha256:new") == ""


def test_a_return_is_taken_back(tools, cell):
    """Before the data was given, after it, and once more."""
    cell.made_by(s1="old")
    tools.returns.ask(cell.settings, OLD)
    assert tools.returns.cancel(cell.settings, cell.bring_back) == 0
    assert (tools.returns.wanted(cell.settings, OLD), cell.asked) == ("", [])
    cell.settings.restore_status.parent.mkdir(parents=True, exist_ok=True)
    cell.settings.restore_status.write_text(json.dumps({"last": {"id": "s1", "image": OLD}}))
    assert tools.returns.cancel(cell.settings, cell.bring_back) == 0
    assert cell.asked == [{"undo": True}]
    cell.settings.restore_status.write_text(json.dumps({"last": {"id": "x", "image": OLD, "undone": True}}))
    assert tools.returns.cancel(cell.settings, cell.bring_back) == 0
    assert len(cell.asked) == 1


def test_old_data_gets_its_name(tools, volume):
    tools.swap.move(volume.volume, volume.journal, inward=True)
    for _ in range(2):
        tools.swap.keep_old(volume.volume, volume.journal)
        assert [path.name for path in volume.volume.kept()] == ["data.before-now"]
        assert (volume.root / "data.before-now/whose").read_text() == "old"
        assert not volume.volume.work.exists()
        assert tools.swap.read(volume.volume) is None


def test_by_json(volume):
    """Whoever finds the journal on the volume can read it."""
    assert json.loads(volume.volume.journal.read_text())["kept"] == "data.before-now"
