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


_HAS_SET = """SELECT FROM spock.replication_set JOIN spock.local_node ON node_id = set_nodeid WHERE set_name = %s"""
_HAS_TABLE = """SELECT FROM spock.replication_set_table JOIN spock.replication_set USING (set_id)
                WHERE set_name = %s AND set_reloid = %s::regclass"""
_HAS_SEQUENCE = """SELECT FROM spock.replication_set_seq JOIN spock.replication_set USING (set_id)
                   WHERE set_name = %s AND set_seqoid = %s::regclass"""


def follow_sets(new: Member, donor: Member) -> list[str]:
    """Replication sets as on the donor. Publications came along with the structure: they are the donor's own affair.

    Each entry is looked for just before it is made, as a partitioned table brings its partitions along.
    """
    done: list[str] = []

    def unless(there: str, params: list[Any], sql: str) -> None:
        if new.do(there, params).fetchone() is None:
            new.do(sql)
            done.append(sql)

    for row in donor.do(_SETS).fetchall():
        flags = ", ".join(str(row[f"replicate_{what}"]).lower() for what in ("insert", "update", "delete", "truncate"))
        name = row["set_name"]
        unless(_HAS_SET, [name], f"SELECT spock.repset_create({quote_literal(name)}, {flags})")
    for row in donor.do(_TABLES).fetchall():
        unless(_HAS_TABLE, [row["set_name"], row["name"]], _table(row))
    for row in donor.do(_SEQUENCES).fetchall():
        here = [row["set_name"], row["name"]]
        words = f"{quote_literal(here[0])}, {quote_literal(here[1])}"
        unless(_HAS_SEQUENCE, here, f"SELECT spock.repset_add_seq({words}, false)")
    for row in donor.do("SELECT pubname FROM pg_publication ORDER BY 1").fetchall():
        sql = f"DROP PUBLICATION {quote_ident(row['pubname'])}"
        if new.do("SELECT FROM pg_publication WHERE pubname = %s", [row["pubname"]]).fetchone() is not None:
            new.do(sql)
            done.append(sql)
    return done


def _table(row: dict[str, Any]) -> str:
    more = ""
    if row["columns"]:
        more += f", columns := ARRAY[{', '.join(quote_literal(name) for name in row['columns'])}]"
    if row["filter"]:
        more += f", row_filter := {quote_literal(row['filter'])}"
    more += ", include_partitions := false"
    return f"SELECT spock.repset_add_table({quote_literal(row['set_name'])}, {quote_literal(row['name'])}, false{more})"
