"""Another image gets the data only where there is a way back, and it opens what the present one wrote."""

import json

from published import TOOL


def image(host):
    return host.check_output("docker container inspect --format {{.Config.Image}} chromadb")


def another(host, name, *changes):
    """The server's image with something changed."""
    options = " ".join(f"--change '{change}'" for change in changes)
    host.check_output(f"docker create --name another {image(host)} && docker commit {options} another {name}")
    host.check_output("docker rm another")


def test_image_that_opens_the_data_passes(host, snapshots):
    before = snapshots.latest()
    another(host, "another:good", "LABEL another=one")
    told = json.loads(host.check_output(f"{TOOL} gate another:good").splitlines()[-1])
    record = snapshots.latest()
    assert before is None or record["id"] > before["id"]
    assert (told["snapshot"], told["records"]) == (record["id"], record["records"])


def test_image_that_does_not_open_it_is_refused(host, snapshots):
    another(host, "another:bad", 'ENTRYPOINT ["false"]')
    running = host.check_output("docker container inspect --format {{.State.StartedAt}} chromadb")
    done = host.run(f"{TOOL} gate another:bad")
    assert done.rc == 1
    assert "another:bad does not get the data: The throw-away server does not open the copy" in done.stderr
    assert f"goes on, with snapshot {snapshots.latest()['id']}" in done.stderr
    assert host.check_output("docker container inspect --format {{.State.StartedAt}} chromadb") == running
    assert host.run("docker container inspect chromadb-proof").rc != 0
    assert not host.file("/var/lib/chromadb/snapshot").exists


def test_without_a_snapshot_no_image_passes(host, snapshots):
    text = json.dumps(snapshots.settings | {"endpoint_url": "http://127.0.0.1:9"})
    host.check_output(
        f"cp /etc/chromafleet/snapshot.json /srv/kept.json; echo '{text}' > /etc/chromafleet/snapshot.json"
    )
    try:
        done = host.run(f"{TOOL} gate another:good")
    finally:
        host.check_output("mv /srv/kept.json /etc/chromafleet/snapshot.json")
    assert done.rc == 1
    assert "no snapshot of it could be made" in done.stderr
