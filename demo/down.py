# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the demo's lab down; the report stays."""

from __future__ import annotations

import sys

from lab import TOP, Lab, Stopped, home


def main() -> int:
    """Entry point."""
    lab = Lab(home("demo"), TOP / "build" / "demo")
    try:
        there = lab.down()
    except Stopped as exc:
        print(f"The lab in {lab.base} is not gone: {exc}", file=sys.stderr)
        return 1
    print(f"The lab in {lab.base} is gone; the report stays." if there else f"There is no lab in {lab.base}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
