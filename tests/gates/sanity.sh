#!/usr/bin/env bash
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ansible-test sanity in a copy of the tree, with nothing ignored. Arguments go to ansible-test.
set -euo pipefail
cd "$(dirname "$0")/../.."
for file in tests/sanity/ignore-*.txt; do
  if [ -s "$file" ]; then
    echo "$file is not empty: what ansible-test finds is mended, not ignored" >&2
    exit 1
  fi
done
python tests/gates/get_pip.py
tree=$(python tests/gates/tree.py build/tree/sanity)
cd "$tree"
version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
log=$(mktemp)
trap 'rm -f "$log"' EXIT
ansible-test sanity --venv --python "$version" --color no "$@" 2>&1 | tee "$log"
# It is content, too, when it has found nothing to look at.
if grep -q 'All targets skipped' "$log" || ! grep -q '^Running sanity test' "$log"; then
  echo "ansible-test has looked at nothing" >&2
  exit 1
fi
