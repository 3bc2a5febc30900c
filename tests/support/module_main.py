# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one module as ansible-core's own wrapper does, with the arguments on stdin. Called by collection.py."""

from __future__ import annotations

import runpy
import sys

from ansible.module_utils import basic

if __name__ == "__main__":
    basic._ANSIBLE_ARGS = sys.stdin.buffer.read()  # type: ignore[attr-defined]
    basic._ANSIBLE_PROFILE = "legacy"  # type: ignore[attr-defined]  # ansible-core 2.19 and newer; unused before
    name = sys.argv[1]
    sys.argv = [name]
    runpy.run_module(
        name, init_globals={"_module_fqn": name, "_modlib_path": None}, run_name="__main__", alter_sys=True
    )
