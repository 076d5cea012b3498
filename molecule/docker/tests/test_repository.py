"""Docker's own repository is trusted by its fingerprint."""

testinfra_hosts = ["ansible://docker-upstream"]


def test_repository_is_refused_with_any_other_key(host):
    """The same key file, but another fingerprint than the one that signed: it's the fingerprint that is trusted."""
    sources = host.file("/etc/apt/sources.list.d/docker.sources").content_string
    trusted = sources.split()[-1]
    for fingerprint, accepted in ((trusted, True), ("A" * 40, False)):
        host.check_output("printf %s > /tmp/other.sources", sources.replace(f" {trusted}", f" {fingerprint}"))
        options = "-o Dir::Etc::sourceparts=- -o Dir::State::lists=/tmp/lists -o APT::Update::Error-Mode=any"
        done = host.run(
            f"mkdir -p /tmp/lists/partial; apt-get update -o Dir::Etc::sourcelist=/tmp/other.sources {options}"
        )
        assert (done.rc == 0) is accepted, done.stdout + done.stderr
