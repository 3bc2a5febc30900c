#!/usr/bin/env bash
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The fragments in changelogs/ are sound, and can be made into the changelog of the next release (in a copy).
set -euo pipefail
cd "$(dirname "$0")/../.."
tree=$(python tests/gates/tree.py build/tree/changelog)
export ANSIBLE_COLLECTIONS_PATH=$PWD/build/tree/changelog
cd "$tree"
antsibull-changelog lint
antsibull-changelog lint-changelog-yaml changelogs/changelog.yaml
if compgen -G 'changelogs/fragments/*.yml' >/dev/null; then
  antsibull-changelog release --version "$(awk '/^version:/ {print $2}' galaxy.yml)"
  cat CHANGELOG.rst
fi
