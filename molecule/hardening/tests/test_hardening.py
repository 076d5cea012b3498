"""The host is as an operator hardens it: what is written is in force."""

import re

import pytest

METADATA = "169.254.169.254"


@pytest.fixture
def release(host):
    return host.system_info.codename


def test_what_no_role_needs_is_gone(host, release):
    assert not host.package("rpcbind").is_installed
    assert not host.package("libonig5").is_installed
    assert host.package("openssh-server").is_installed is (release == "bookworm")


def test_nothing_else_listens_on_the_network(host, release):
    sockets = [
        line.split()[3] for line in host.check_output("ss -Hltun | sort -u | awk '{print \"-\",$1,$2,$5}'").splitlines()
    ]
    open_ports = {name.rsplit(":", 1)[1] for name in sockets if not re.match(r"127\.|\[::1\]", name)}
    assert open_ports == ({"22"} if release == "bookworm" else set())


def test_only_security_upgrades_come_by_themselves(host, release):
    wanted = f"origin=Debian,codename={release}-security,label=Debian-Security"
    said = host.check_output("unattended-upgrade --dry-run --verbose")
    assert f"Allowed origins are: {wanted}\n" in said + "\n"
    # There is a source of them, too.
    assert "l=Debian-Security" in host.check_output("apt-cache policy")


def test_upgrades_are_made_every_day(host):
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer"):
        assert host.service(timer).is_enabled
        assert host.service(timer).is_running
    assert 'APT::Periodic::Unattended-Upgrade "1";' in host.check_output("apt-config dump")


def test_reboot_and_held_packages_are_as_asked(host, release):
    dump = host.check_output("apt-config dump Unattended-Upgrade")
    assert f'Automatic-Reboot "{str(release == "bookworm").lower()}";' in dump
    held = re.findall(r'Package-Blacklist:: "(.+)";', dump)
    assert held == (["docker", "containerd"] if release == "bookworm" else [])


def test_upgrade_keeps_our_configuration(host):
    assert 'Dpkg::Options:: "--force-confold";' in host.check_output("apt-config dump Dpkg::Options")


def test_time_comes_from_amazon(host):
    assert host.service("chrony").is_enabled
    assert host.service("chrony").is_running
    sources = host.check_output("chronyc -n -c sources -a").splitlines()
    assert "169.254.169.123" in [line.split(",")[2] for line in sources]
    assert "pool time.aws.com iburst" in host.file("/etc/chrony/chrony.conf").content_string


def test_clock_of_a_container_is_left_alone(host):
    assert {process.args.split(" ", 1)[1] for process in host.process.filter(comm="chronyd")} == {"-F 1 -x"}


def test_settings_of_the_network_are_in_force(host):
    """Those that a container has. The file has all of them, for hosts with a kernel of their own."""
    written = dict(
        line.split(" = ") for line in host.file("/etc/sysctl.d/90-hardening.conf").content_string.splitlines()
    )
    assert written["vm.swappiness"] == "1"
    assert written["net.ipv4.tcp_fin_timeout"] == "30"
    names = " ".join(name for name in written if name.startswith("net."))
    current = dict(line.split(" = ") for line in host.check_output(f"sysctl --ignore {names}").splitlines())
    assert len(current) > 15
    assert {name: value.split() for name, value in current.items()} == {name: written[name].split() for name in current}


def test_kernel_that_is_shared_is_left_alone(host):
    assert host.check_output("sysctl kernel.kptr_restrict vm.swappiness kernel.panic") == host.check_output(
        "cat /var/lib/kernel-before"
    )


def test_burst_of_ten_thousand_connections_fits(host):
    """Nobody accepts them: they all wait in the queue. With the kernel's default, 4,097 do."""
    program = """
import socket
server = socket.create_server(("127.0.0.1", 18000), backlog=16384)
clients = [socket.create_connection(("127.0.0.1", 18000), timeout=5) for _ in range(10000)]
print(len(clients))
"""
    assert host.check_output("ulimit -n 16384 && python3 -c %s", program) == "10000"


def test_services_get_the_limits(host):
    core, soft = host.check_output("systemd-run --quiet --pipe --wait sh -c 'ulimit -Hc; ulimit -Sn'").split()
    # The test's machine allows its containers fewer files than the role asks for.
    assert (core, int(soft)) == ("0", min(65536, int(host.check_output("ulimit -Hn"))))
    assert "DefaultLimitNOFILESoft=65536" in host.check_output("systemctl show --property DefaultLimitNOFILESoft")


def test_journal_is_kept_and_bounded(host):
    assert host.check_output("ls /var/log/journal/*/system.journal")
    assert "max 1G," in host.check_output(
        "journalctl --unit systemd-journald --grep 'System Journal.*max' --output cat | tail -n 1"
    )


@pytest.fixture
def neighbours(host):
    """A container, and the metadata service, each in a network of its own with the host as the router between them."""
    service = "from http.server import *; ThreadingHTTPServer(('', 80), SimpleHTTPRequestHandler).serve_forever()"
    host.check_output(
        f"""
        set -e
        for name in container service; do
            ip netns add $name; ip link add to-$name type veth peer name eth0 netns $name
        done
        ip address add 172.28.0.1/24 dev to-container && ip link set to-container up
        ip address add 169.254.169.1/24 dev to-service && ip link set to-service up
        ip -n container address add 172.28.0.2/24 dev eth0 && ip -n container link set eth0 up
        ip -n service address add {METADATA}/24 dev eth0 && ip -n service address add 169.254.169.250/24 dev eth0
        ip -n service link set eth0 up
        ip -n container route add default via 172.28.0.1 && ip -n service route add default via 169.254.169.1
        sysctl --quiet --write net.ipv4.ip_forward=1
        systemd-run --quiet --unit metadata-service ip netns exec service python3 -c "{service}"
        timeout 20 sh -c 'until curl --silent --output /dev/null http://{METADATA}/; do sleep 0.2; done'
        """
    )
    yield (
        lambda address: (
            host.run(f"ip netns exec container curl --silent --max-time 5 --output /dev/null http://{address}/").rc == 0
        )
    )
    host.check_output(
        "systemctl stop metadata-service; ip netns delete container; ip netns delete service;"
        "sysctl --quiet --write net.ipv4.ip_forward=0"
    )


def test_containers_reach_the_metadata_service_only_where_they_may(host, release, neighbours):
    """On Debian 12 the rules were flushed and are back; on Debian 13 the service was opened."""
    assert neighbours("169.254.169.250")
    assert neighbours(METADATA) is (release == "trixie")
    assert host.service("hardening-metadata").is_enabled is (release == "bookworm")


def test_ssh_takes_keys_only(host, release):
    if release == "trixie":
        assert not host.file("/usr/sbin/sshd").exists
        return
    settings = host.check_output("mkdir -p /run/sshd; sshd -T").splitlines()
    assert {
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "x11forwarding no",
        "maxauthtries 3",
    } <= set(settings)
    assert host.service("ssh").is_running
