#!/usr/bin/env bash
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The Molecule scenario hosts: systemd containers by podman and runc, on a Debian machine, as root. Their images are
# kept in build/hosts; all else goes at the end. Arguments go to molecule.
set -euo pipefail
cd "$(dirname "$0")/../.."
top=$PWD
hosts=$top/build/hosts

skip() {
  echo "skipped: $1"
  exit 77
}
. /etc/os-release
[ "$(id -u)" -eq 0 ] || skip "the scenario hosts starts containers with systemd and needs root"
[ "$ID" = debian ] || skip "the scenario hosts makes its images from a Debian machine's own mirror, and this is ${PRETTY_NAME:-$ID}"
missing=()
for program in podman:podman runc:runc debootstrap:debootstrap iptables:iptables openssl:openssl /usr/lib/podman/netavark:netavark; do
  command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
done
if [ "${#missing[@]}" -gt 0 ]; then
  mkdir -p build/logs
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y -o DPkg::Lock::Timeout=600 \
    --no-install-recommends "${missing[@]}"; } >build/logs/hosts-apt.log 2>&1 </dev/null ||
    skip "the scenario hosts needs ${missing[*]}, which apt-get could not install: see build/logs/hosts-apt.log"
fi

mkdir -p "$hosts"
exec 9>"$hosts/.lock"
flock -n 9 || { echo "the scenario hosts runs in this checkout already" >&2; exit 1; }

# The connection plugin, from the same place as ansible-core
if ! cmp -s requirements/hosts.txt "$hosts/collections/.made"; then
  rm -rf "$hosts/collections" "$hosts/wheel"
  python -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --dest "$hosts/wheel" -r requirements/hosts.txt
  python - "$hosts" <<'PYTHON'
import sys, zipfile
from pathlib import Path
hosts = Path(sys.argv[1])
wheel = zipfile.ZipFile(next(hosts.glob("wheel/*.whl")))
wheel.extractall(hosts / "collections", [n for n in wheel.namelist() if n.startswith("ansible_collections/containers/podman/")])
PYTHON
  rm -rf "$hosts/wheel"
  cp requirements/hosts.txt "$hosts/collections/.made"
fi

# A podman of its own: nothing of the machine's is seen or touched. Its state is in /run, and goes with a reboot.
run=/run/crossover-hosts-$(printf '%s' "$top" | cksum | cut -d ' ' -f 1)
cat >"$hosts/containers.conf" <<CONF
[containers]
default_ulimits = []
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$run/libpod"
[network]
network_backend = "netavark"
network_config_dir = "$run/networks"
CONF
cat >"$hosts/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$hosts/storage"
runroot = "$run/storage"
CONF
export CONTAINERS_CONF=$hosts/containers.conf CONTAINERS_STORAGE_CONF=$hosts/storage.conf
export CROSSOVER_HOSTS_STATE=$run/state CROSSOVER_HOSTS_RELEASE=$VERSION_CODENAME CROSSOVER_HOSTS_BUILD=
export ANSIBLE_COLLECTIONS_PATH=$ANSIBLE_COLLECTIONS_PATH:$hosts/collections ANSIBLE_PIPELINING=1

# A PostgreSQL with Spock is mounted into the nodes where it has a prefix of its own
if [ -n "${CROSSOVER_PG_CONFIG:-}" ]; then
  prefix=$(dirname "$("$CROSSOVER_PG_CONFIG" --bindir)")
  if [[ $prefix != /usr* ]] && [ -f "$("$CROSSOVER_PG_CONFIG" --sharedir)/extension/spock.control" ]; then
    CROSSOVER_HOSTS_BUILD=$prefix
  fi
fi
echo "nodes: ${CROSSOVER_HOSTS_BUILD:-PostgreSQL of the distribution; no Spock, so one node takes the data}"

left() {
  for name in source pooler n1 n2 n3; do podman rm --force --ignore --volumes --time=0 "$name" >/dev/null || true; done
  podman network rm --force crossover-hosts >/dev/null 2>&1 || true
  umount "$hosts/storage/overlay" 2>/dev/null || true
  rm -rf "$run"
}
if [ "${1:-test}" != test ]; then # a single step, for whoever works on it: hosts.sh converge
  [ "$1" != destroy ] || trap left EXIT
  molecule "$@" --scenario-name hosts
  exit
fi
trap left EXIT
trap 'exit 130' INT TERM
shift $(($# > 0))
molecule test --scenario-name hosts "$@"
