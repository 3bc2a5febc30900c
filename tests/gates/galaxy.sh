#!/usr/bin/env bash
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The collection is built, taken in by Galaxy's own importer, installed from the file and used.
set -euo pipefail
cd "$(dirname "$0")/../.."
top=$PWD
out=$top/build/galaxy
tree=$(python tests/gates/tree.py build/tree/galaxy)
rm -rf "$out"
mkdir -p "$out"
(cd "$tree" && ansible-galaxy collection build --output-path "$out")
artifact=$(echo "$out"/crossover-pgedge-*.tar.gz)

echo "== galaxy-importer"
# In its own directory: it writes importer_result.json where it stands. ansible-lint runs there too, offline.
(cd "$out" && python -m galaxy_importer.main "$artifact") 2>&1 | tee "$out/importer.txt" | grep -v "^Loading "
# It warns of ignore files even where nothing is ignored in them.
if grep -E '^(ERROR|CRITICAL|WARNING):' "$out/importer.txt" | grep -v 'ignore-.* with 0 statement'; then
  echo "the importer has complaints (above)" >&2
  exit 1
fi

echo "== install from the file"
# --force: the checkout itself, on the path of the gates, would count as installed.
ANSIBLE_COLLECTIONS_PATH=$out/installed ansible-galaxy collection install --offline --no-cache --force -p "$out/installed" "$artifact"
python "$top/tests/gates/installed.py" "$out/installed"
