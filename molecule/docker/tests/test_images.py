"""Images come by digest, and stay as long as somebody may need them."""

import pytest

testinfra_hosts = ["ansible://docker-debian*"]

PRIMARY = "127.0.0.1:5000/fleet/tiny"
FALLBACK = "127.0.0.1:5001/other/tiny"


@pytest.fixture
def images(host):
    """What `docker image ls` says, as a function."""
    return lambda: host.check_output("docker image ls --format '{{.Repository}}:{{.Tag}}'").split()


def test_pulled_images_have_a_tag_that_tells_when(host, images):
    pulled = [name for name in images() if name.startswith(f"{PRIMARY}:sha256-")]
    assert len(pulled) == 2
    for name in pulled:
        assert "0001-01-01" not in host.check_output(
            "docker image inspect --format '{{.Metadata.LastTagTime}}' %s", name
        )


def test_second_image_came_from_the_fallback(host):
    digests = host.check_output("docker image ls --digests --format '{{.Repository}}@{{.Digest}}'")
    assert f"{FALLBACK}@sha256:" in digests


@pytest.mark.parametrize("secret", ["molecule-password", "molecule-wrong-password", "QVdTOm1vbGVjdWxlLXBhc3N3b3Jk"])
def test_login_stays_nowhere(host, secret):
    """Plain, and in the form that docker would write into its config.json."""
    places = "/etc /root /home /tmp /run /var/log /var/tmp /opt"
    assert host.run(f"grep --recursive --files-with-matches --fixed-strings -e {secret} {places}").stdout == ""


def test_what_runs_and_what_was_pulled_last_stay(host, images):
    for age in ("oldest", "older", "newer", "newest"):
        host.check_output(f"echo {age} >/tmp/{age} && tar -C /tmp -c {age} | docker import - prune/tiny:{age}")
    host.check_output("docker container create --name keeps prune/tiny:oldest nothing")
    before = set(images())
    host.check_output("systemctl start docker-prune-images.service")
    assert before - set(images()) == {"prune/tiny:older"}
    # What a person is tempted to do at a full disk takes none of them either.
    host.check_output("docker image prune --force")
    assert before - set(images()) == {"prune/tiny:older"}
    host.check_output("docker-prune-images 0")
    assert images() == ["prune/tiny:oldest"]
    host.check_output("docker container rm keeps && docker-prune-images 0")
    assert images() == []


def test_images_are_removed_every_day(host):
    timer = host.service("docker-prune-images.timer")
    assert timer.is_enabled
    assert timer.is_running
