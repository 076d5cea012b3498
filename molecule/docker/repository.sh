#!/bin/bash
# Usage: repository.sh DIRECTORY. Makes a signed repository there, and tells its key's fingerprint as a local fact.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive GNUPGHOME=/root/gnupg
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$1/pool" "$1/dists/trixie/stable/binary-amd64" /etc/ansible/facts.d
mkdir -m 700 -p "$GNUPGHOME"

apt-get update -qq
apt-get install -qq -y --no-install-recommends apt-utils gpg gpg-agent >/dev/null
cd "$work"
apt-get download -qq docker.io docker-cli docker-compose

# pack NAME VERSION DEPENDS [DEBIAN'S PACKAGE]
pack() {
  mkdir -p "$1/DEBIAN"
  [ $# -lt 4 ] || { rm -r "$1"; dpkg-deb --raw-extract "$4"_*.deb "$1"; }
  printf '%s\n' "Package: $1" "Version: $2" "Architecture: amd64" "Maintainer: Molecule <molecule@example.com>" \
    "Depends: $3" "Description: $1 for a test" >"$1/DEBIAN/control"
  rm -f "$1/usr/bin/docker-compose"
  dpkg-deb -Znone --root-owner-group --build "$1" "$pool/$1_${2#*:}.deb" >/dev/null
  rm -r "$1"
}
pool=$1/pool
pack docker-ce 5:26.1.5-1~debian.13~trixie "docker-ce-cli, containerd.io, iptables, tini, adduser" docker.io
pack docker-ce-cli 5:26.1.5-1~debian.13~trixie libc6 docker-cli
pack docker-compose-plugin 2.26.1-1~debian.13~trixie libc6 docker-compose
pack containerd.io 1.7.24-1 "containerd, runc"
pack docker-ce 5:28.3.3-1~debian.13~trixie docker-ce-cli
pack docker-ce-cli 5:28.3.3-1~debian.13~trixie libc6

# As Docker's, the key signs with a subkey.
key() { gpg --batch --quiet --pinentry-mode loopback --passphrase '' "$@"; }
key --quick-generate-key 'Molecule <molecule@example.com>' ed25519 cert never
fingerprint=$(gpg --list-keys --with-colons | awk -F : '/^fpr/ { print $10; exit }')
key --quick-add-key "$fingerprint" ed25519 sign never
cd "$1"
apt-ftparchive packages pool >dists/trixie/stable/binary-amd64/Packages
apt-ftparchive -o APT::FTPArchive::Release::Codename=trixie -o APT::FTPArchive::Release::Components=stable \
  -o APT::FTPArchive::Release::Architectures=amd64 release dists/trixie >"$work/Release"
key --clearsign --output dists/trixie/InRelease "$work/Release"
echo "{\"fingerprint\": \"$fingerprint\"}" >/etc/ansible/facts.d/molecule.fact
# The key comes last: the repository is whole when it is there.
gpg --armor --export >gpg
chmod -R a+rX .
