#!/usr/bin/env bash
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The documentation of modules, plugins and roles as a user will read it.
set -euo pipefail
cd "$(dirname "$0")/../.."
tree=$(python tests/gates/tree.py build/tree/docs)
export ANSIBLE_COLLECTIONS_PATH=$PWD/build/tree/docs
cd "$tree"
exec antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .
