#!/usr/bin/env bash
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Every linter, to the end: one that complains does not hide what the next would say.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
base=$PWD/build/tree/lint
tree=$(python tests/gates/tree.py "$base") || exit 1
cd "$tree" || exit 1
failed=()
step() {
  local name=$1
  shift
  echo "== $name"
  "$@" || failed+=("$name")
}
step "house rules" python tests/gates/house.py
step "ruff check" ruff check --output-format concise .
step "ruff format" ruff format --check --output-format concise .
step "mypy plugins" env MYPYPATH="$base" mypy -p ansible_collections.crossover.pgedge.plugins
# shellcheck disable=SC2046
step "mypy tests" env MYPYPATH="$base:tests:tests/gates:roles/lab/files" \
  mypy $(find tests requirements roles/lab/files -name '*.py' -not -path 'tests/output/*')
step "yamllint" yamllint --strict .
export ANSIBLE_COLLECTIONS_PATH=$base
step "ansible-lint" ansible-lint --offline --strict --nocolor
if [ "${#failed[@]}" -gt 0 ]; then
  (IFS=','; echo "failed: ${failed[*]}")
  exit 1
fi
