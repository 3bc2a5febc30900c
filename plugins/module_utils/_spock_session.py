# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own sessions on a node stay out of the mesh (private to the collection)."""

from __future__ import annotations

from typing import Any

_OFF = """
SELECT set_config(name, 'off', false) FROM pg_settings
WHERE name IN ('spock.enable_ddl_replication', 'spock.include_ddl_repset') AND setting <> 'off'
"""


def local_only(conn: Any) -> None:
    """What this session creates or alters is not replicated to the other nodes. Nothing to do without Spock."""
    conn.execute(_OFF)
