# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a database by the name that PostgreSQL gives them, the same on both sides (private to the collection).

pg_identify_object() names every kind of object, quoted and qualified: ``table constraint``, ``fk on shop.orders``.
OIDs differ between the sides, these names do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ._pg_catalog import NOT_MIGRATED

# What the ledger calls what was created: lists of objects and roles, which is what may be dropped again.
FACT_ROLES, FACT_PRE, FACT_POST = "schema.roles", "schema.pre_data", "schema.post_data"

FIRST_NORMAL = 16384  # FirstNormalObjectId: below are the objects that initdb made

# Catalogues whose rows are objects of their own, and those whose rows belong to a table or view.
_TOP = (
    "pg_namespace", "pg_class", "pg_proc", "pg_type", "pg_extension", "pg_collation", "pg_conversion", "pg_operator",
    "pg_opclass", "pg_opfamily", "pg_ts_config", "pg_ts_dict", "pg_ts_parser", "pg_ts_template", "pg_cast",
    "pg_language", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_transform", "pg_am",
)  # fmt: skip
_PARTS = (
    "pg_constraint", "pg_trigger", "pg_rewrite", "pg_policy", "pg_attrdef", "pg_statistic_ext", "pg_default_acl",
    "pg_user_mapping",
)  # fmt: skip


def _union(catalogues: Iterable[str]) -> str:
    return " UNION ALL ".join(
        f"SELECT '{name}'::regclass AS classid, oid AS objid FROM {name} WHERE oid >= {FIRST_NORMAL}"
        for name in catalogues
    )


_NAMES = f"SELECT i.type, i.identity FROM ({_union((*_TOP, *_PARTS))}) o, pg_identify_object(o.classid, o.objid, 0) i"

# What a person would call an object: no index, no part of a table, no row or array type, nothing that another object
# brings with it (multiranges, identity sequences), nothing of an extension, none of our own schemas.
_OWN = f"""
SELECT i.type, i.identity
FROM ({_union(_TOP)}) o, pg_identify_object(o.classid, o.objid, 0) i
WHERE NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = o.classid AND d.objid = o.objid AND d.objsubid = 0 AND d.deptype IN ('e', 'i'))
  AND NOT EXISTS (SELECT FROM pg_class c
                  WHERE o.classid = 'pg_class'::regclass AND c.oid = o.objid
                    AND (c.relkind NOT IN ('r', 'p', 'v', 'm', 'f', 'S') OR c.relpersistence = 't'))
  AND NOT EXISTS (SELECT FROM pg_type t
                  WHERE o.classid = 'pg_type'::regclass AND t.oid = o.objid
                    AND (EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
                         OR EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)))
  AND NOT EXISTS (SELECT FROM pg_namespace n
                  WHERE o.classid = 'pg_namespace'::regclass AND n.oid = o.objid
                    AND (n.nspname = 'public' OR n.nspname ~ '^pg_' OR n.nspname = ANY (%(not_migrated)s)))
  AND (i.schema IS NULL OR NOT (i.schema = ANY (%(not_migrated)s) OR i.schema ~ '^pg_'))
ORDER BY i.type COLLATE "C", i.identity COLLATE "C"
"""


@dataclass(frozen=True, order=True)
class Object:
    """One object. ``str()`` is what messages and results show."""

    type: str
    identity: str

    def __str__(self) -> str:
        return f"{self.type} {self.identity}"


def present(conn: Any) -> set[Object]:
    """Every object that initdb did not make, parts of tables and of extensions included. As a superuser."""
    return {Object(row["type"], row["identity"]) for row in conn.execute(_NAMES)}


def own(conn: Any) -> list[Object]:
    """The objects that somebody made in this database: what stands in the way of a migration into it."""
    parameters = {"not_migrated": list(NOT_MIGRATED)}
    rows = conn.execute(_OWN, parameters).fetchall()
    return [Object(row["type"], row["identity"]) for row in rows if row["type"] != "extension"]


def identify(conn: Any, ids: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Object]:
    """(catalogue OID, object OID) -> name, for those that still exist."""
    pairs = sorted(set(ids))
    rows = conn.execute(
        """SELECT o.classid::int8 AS classid, o.objid::int8 AS objid, i.type, i.identity
           FROM unnest(%s::oid[], %s::oid[]) AS o(classid, objid), pg_identify_object(o.classid, o.objid, 0) i
           WHERE i.identity IS NOT NULL""",
        [[c for c, _o in pairs], [o for _c, o in pairs]],
    )
    return {(row["classid"], row["objid"]): Object(row["type"], row["identity"]) for row in rows}
