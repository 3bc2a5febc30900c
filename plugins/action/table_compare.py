# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the progress of crossover.pgedge.table_compare while it compares, or while another run of it does."""

from __future__ import annotations

from typing import Any

from ansible_collections.crossover.pgedge.plugins.plugin_utils.live import LedgerAction

LIMIT = 7 * 86400  # seconds; a comparison ends by itself


class ActionModule(LedgerAction):
    """crossover.pgedge.table_compare"""

    task, table_word = "compare", "compared"

    def limit(self) -> float:
        """Return what no comparison takes."""
        return LIMIT

    def last(self, found: dict[str, Any]) -> None:
        """Print the tables that were compared last."""
        if found.get("ran") or found.get("attached"):
            tables = [{"name": t["name"], "rows": t["rows"], "note": t["verdict"]} for t in found.get("tables") or []]
            self.tables(self.side, tables)
