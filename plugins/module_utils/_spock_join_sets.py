# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy of the structure does not bring, or should not have brought (private to the collection)."""

from __future__ import annotations

from typing import Any

from ._pg_sql import quote_ident, quote_literal
from ._spock_mesh import Member

_SETS = """
SELECT set_name, replicate_insert, replicate_update, replicate_delete, replicate_truncate
FROM spock.replication_set JOIN spock.local_node ON node_id = set_nodeid ORDER BY 1
"""
_TABLES = """
SELECT s.set_name, t.set_reloid::regclass::text AS name, t.set_att_list AS columns,
       pg_get_expr(t.set_row_filter, t.set_reloid) AS filter
FROM spock.replication_set_table t JOIN spock.replication_set s USING (set_id) ORDER BY 1, 2
"""
_SEQUENCES = """
SELECT s.set_name, q.set_seqoid::regclass::text AS name
FROM spock.replication_set_seq q JOIN spock.replication_set s USING (set_id) ORDER BY 1, 2
"""


def follow_sets(new: Member, donor: Member) -> list[str]:
    """Replication sets as on the donor. Publications came along with the structure: they are the donor's own affair."""
    done: list[str] = []
    have = {row["set_name"] for row in new.do(_SETS)}
    for row in donor.do(_SETS).fetchall():
        if row["set_name"] not in have:
            flags = ", ".join(
                str(row[f"replicate_{what}"]).lower() for what in ("insert", "update", "delete", "truncate")
            )
            done.append(f"SELECT spock.repset_create({quote_literal(row['set_name'])}, {flags})")
    have_tables = {(row["set_name"], row["name"]) for row in new.do(_TABLES)}
    done += [_table(row) for row in donor.do(_TABLES).fetchall() if (row["set_name"], row["name"]) not in have_tables]
    have_sequences = {(row["set_name"], row["name"]) for row in new.do(_SEQUENCES)}
    for row in donor.do(_SEQUENCES).fetchall():
        if (row["set_name"], row["name"]) not in have_sequences:
            done.append(
                f"SELECT spock.repset_add_seq({quote_literal(row['set_name'])}, {quote_literal(row['name'])}, false)"
            )
    done += [f"DROP PUBLICATION {quote_ident(row['pubname'])}" for row in new.do("SELECT pubname FROM pg_publication")]
    for sql in done:
        new.do(sql)
    return done


def _table(row: dict[str, Any]) -> str:
    more = ""
    if row["columns"]:
        more += f", columns := ARRAY[{', '.join(quote_literal(name) for name in row['columns'])}]"
    if row["filter"]:
        more += f", row_filter := {quote_literal(row['filter'])}"
    more += ", include_partitions := false"
    return f"SELECT spock.repset_add_table({quote_literal(row['set_name'])}, {quote_literal(row['name'])}, false{more})"
