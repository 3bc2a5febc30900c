#!/usr/bin/env bash
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Make an image of a Debian host with systemd and Python, without PostgreSQL: image.sh RELEASE NAME
# The mirror is the machine's own. What hosts will install is in the image's package cache, so that twelve
# installations are no twelve downloads.
set -euo pipefail
release=$1 name=$2
. /etc/os-release
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
  awk -v own="$VERSION_CODENAME" '$2 == own && $3 == "main" { print $1; exit }')
root=$(mktemp -d "${TMPDIR:-/var/tmp}/crossover-image.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT

echo "$release from the machine's own mirror"
debootstrap --variant=minbase --include=ca-certificates,dbus,iproute2,openssl,procps,python3,python3-apt,systemd,systemd-sysv \
  "$release" "$root" "$mirror"
# What this machine needs to reach it
apt-config dump | grep -E '^Acquire::(http|https|ftp)::[^ ]* ' >"$root/etc/apt/apt.conf.d/80machine" || true
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
# The hosts do not outlive a run: their packages need not be on the disk
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/hosts"
# A service is started by systemd or not at all
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
in_root() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$root" "$@"; }
in_root apt-get update -qq
later=(postgresql pgbouncer python3-psycopg)
# Their dependencies now, themselves when a role or a playbook says so
mapfile -t needed < <(in_root apt-get install -qq --simulate --no-install-recommends "${later[@]}" |
  awk '$1 == "Inst" && $2 !~ /postgresql|pgbouncer|psycopg|libpq/ { print $2 }')
in_root apt-get install -qq -y --no-install-recommends "${needed[@]}"
rm -f "$root"/var/cache/apt/archives/*.deb
in_root apt-get install -qq -y --download-only --no-install-recommends "${later[@]}"
rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/machine-id" "$root/etc/hostname"
: >"$root/etc/machine-id"
tar -C "$root" --one-file-system -c . | podman import --change 'CMD ["/sbin/init"]' - "$name"
