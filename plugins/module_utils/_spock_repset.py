# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interim: replaced by part A1's."""

from __future__ import annotations

from typing import Any, Collection, Sequence

from ._pg_sql import Statement, quote_literal

_STATE = """
SELECT w.name, c.oid, EXISTS (
           SELECT FROM spock.replication_set_table t JOIN spock.replication_set s USING (set_id)
           JOIN spock.local_node l ON l.node_id = s.set_nodeid WHERE t.set_reloid = c.oid) AS placed,
       CASE c.relreplident
            WHEN 'i' THEN EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisreplident)
            WHEN 'd' THEN EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary AND x.indimmediate)
            ELSE false END AS has_index
FROM unnest(%s::text[]) WITH ORDINALITY w (name, at) JOIN pg_class c ON c.oid = to_regclass(w.name) ORDER BY w.at
"""


def assign(conn: Any, tables: Sequence[str], keyed: Collection[str] = ()) -> list[Statement]:
    """Each table that is in no set into ``default``, or ``default_insert_only``."""
    found = []
    for row in conn.execute(_STATE, [list(tables)]).fetchall():
        if not row["placed"]:
            repset = "default" if row["has_index"] or row["name"] in keyed else "default_insert_only"
            found.append(
                Statement.of(
                    f"SELECT spock.repset_add_table({quote_literal(repset)}, {quote_literal(row['name'])}::regclass, "
                    "synchronize_data := false, include_partitions := false)"
                )
            )
    return found
