"""Which releases a cell has had."""

from __future__ import annotations

import json

NAME = "/chromafleet/demo/main/release"


def test_the_present_one_comes_first(run_module, empty_account):
    assert run_module("release_info", fleet="demo", cell="main")["releases"] == []
    ssm = empty_account("ssm")
    for number in range(1, 13):
        record = {"version": f"v{number}", "digest": f"{number:064}", "images": {"chroma": f"x@sha256:{number}"}}
        ssm.put_parameter(Name=NAME, Type="String", Value=json.dumps(record), Overwrite=number > 1)
    ssm.put_parameter(Name="/chromafleet/demo-2/main/release", Type="String", Value="{}")
    found = run_module("release_info", fleet="demo", cell="main")
    assert not found["changed"]
    assert [one["number"] for one in found["releases"]] == list(range(12, 0, -1))
    first = found["releases"][0]
    assert (first["version"], first["images"]) == ("v12", {"chroma": "x@sha256:12"})
    assert first["time"].endswith("Z")
