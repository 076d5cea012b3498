#!/bin/bash
# Starts two registries, fills them and prints the digests of the images. The password is molecule-password.
set -euo pipefail
# The package starts one of its own.
systemctl stop docker-registry
cd /etc/docker/registry
# shellcheck disable=SC2016 # a hash, no variables
echo 'AWS:$2b$05$abcdefghijklmnopqrstuua70TOnWLBFPjAgpNP00bGEdM63H67Je' >users
registry() { printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /srv/registry-%s}}\nhttp: {addr: "127.0.0.1:%s"}\n' "$1" "$1"; }
{ registry 5000; echo 'auth: {htpasswd: {realm: molecule, path: /etc/docker/registry/users}}'; } >5000.yml
registry 5001 >5001.yml
for port in 5000 5001; do
  systemd-run --quiet --unit "registry-$port" docker-registry serve "$PWD/$port.yml"
  timeout 20 bash -c "until exec 3<>/dev/tcp/127.0.0.1/$port; do sleep 0.2; done" 2>/dev/null
done
DOCKER_CONFIG=$(mktemp --directory)
export DOCKER_CONFIG
echo molecule-password | docker login --username AWS --password-stdin 127.0.0.1:5000 >/dev/null 2>&1
for content in first second; do
  image=$(tar --create --file - --transform "s/.*/$content/" /etc/debian_version | docker import - "127.0.0.1:5000/fleet/tiny:$content")
  docker tag "$image" "127.0.0.1:5001/other/tiny:$content"
  docker push --quiet "127.0.0.1:5000/fleet/tiny:$content" >/dev/null
  docker push --quiet "127.0.0.1:5001/other/tiny:$content" >/dev/null
  digest=$(docker image inspect --format '{{index .RepoDigests 0}}' "$image")
  docker image rm --force "$image" >/dev/null
  echo "${digest#*@}"
done
rm -r "$DOCKER_CONFIG"
