# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which copy it is that a comparison looked at (private to the collection).

A comparison says nothing of tables that were copied later, or of sides that were switched since. The state's name
changes when a table joins or is copied anew, when the subscription is made anew, and with every switch; it does not
when a phase is run again and finds nothing to do.
"""

from __future__ import annotations

from typing import Any

from ._migration_control import NODE, read
from ._migration_names import Names

_TABLES = """
SELECT s.oid::text || ' ' || md5(coalesce(string_agg(
           n.nspname || '.' || c.relname || ' ' || coalesce(r.srsublsn::text, ''), ',' ORDER BY n.nspname, c.relname),
       '')) AS state
FROM pg_subscription s
LEFT JOIN pg_subscription_rel r ON r.srsubid = s.oid
LEFT JOIN pg_class c ON c.oid = r.srrelid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE s.subname = %s AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY s.oid
"""


def copied_state(source: Any, node: Any, migration: str, landing_node: str) -> str:
    """A name for what is copied now; empty where nothing is."""
    control, names = read(source, migration), Names.of(migration, landing_node)
    subscriber, subscription = (
        (source, names.back_subscription) if control and control.writable == NODE else (node, names.subscription)
    )
    row = subscriber.execute(_TABLES, [subscription]).fetchone()
    return f"{control.crossings if control else 0} {row['state']}" if row else ""
