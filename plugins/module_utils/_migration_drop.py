# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drops on the node exactly what the migration created there, by the ledger's lists (private to the collection).

Never CASCADE: an object of somebody else that depends on one of ours is named, and nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._errors import CrossoverError
from ._migration_fence_large import FACT as FENCE_COPY
from ._migration_fence_large import left, remove
from ._migration_ledger import Ledger
from ._migration_schema_objects import FACT_POST, FACT_PRE, FACT_ROLES, Object, present
from ._pg_catalog import exists
from ._pg_connect import Login, driver, sql_error
from ._pg_sql import Statement, quote_ident


@dataclass
class Removal:
    """What to drop, in this order. ``warnings`` tell what stays."""

    sets: list[Statement] = field(default_factory=list)
    objects: list[tuple[Object, Statement]] = field(default_factory=list)
    others: list[Statement] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    large_objects: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def statements(self) -> list[Statement]:
        """As shown, the same in check mode."""
        drops = [Statement.of(f"DROP ROLE {quote_ident(name)}") for name in self.roles]
        large = [Statement.of(f"SELECT lo_unlink({oid})") for oid in self.large_objects[:1]]
        if more := self.large_objects[1:]:
            large.append(Statement(large[0].sql, f"-- and {len(more)} more large object(s), up to {more[-1]}"))
        return [*large, *self.sets, *(statement for _object, statement in self.objects), *self.others, *drops]


def plan(conn: Any, ledger: Ledger) -> Removal:
    """What is left of what the ledger says was created. Without a ledger there is nothing."""
    facts = ledger.facts()
    removal = Removal(facts=[key for key in (FACT_PRE, FACT_POST, FACT_ROLES, FENCE_COPY) if key in facts])
    removal.large_objects = left(conn, facts.get(FENCE_COPY, {}).get("large_objects", []))
    if not removal.facts:
        return removal
    there = present(conn)
    lists = (facts.get(FACT_PRE, {}).get("objects", []), facts.get(FACT_POST, {}).get("objects", []))
    created = [Object(*pair) for pairs in lists for pair in pairs]
    removal.objects = [(o, _drop(o)) for o in reversed(created) if o in there]
    removal.sets = _sets(conn, [o.identity for o, _statement in removal.objects if o.type == "table"])
    schemas = {o.identity for o, _statement in removal.objects if o.type == "schema"}
    removal.others += _default_acls(conn, facts.get(FACT_POST, {}), schemas)
    if FACT_PRE in facts:
        removal.others += _public(conn, facts[FACT_PRE].get("public"))
    removal.others += [Statement.of(sql) for sql in facts.get(FACT_ROLES, {}).get("undo", [])]
    names = facts.get(FACT_ROLES, {}).get("created", [])
    known = {row["rolname"] for row in conn.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [names])}
    removal.roles = sorted(known)
    return removal


_SETS = """
SELECT format('SELECT spock.repset_remove_table(%%L, %%L::regclass, include_partitions := false)',
              s.set_name, i.identity) AS sql
FROM spock.replication_set_table t JOIN spock.replication_set s USING (set_id)
CROSS JOIN pg_identify_object('pg_class'::regclass, t.set_reloid, 0) i WHERE i.identity = ANY (%s) ORDER BY 1
"""


def _sets(conn: Any, names: list[str]) -> list[Statement]:
    """Spock keeps a table from being dropped for as long as it is in a replication set."""
    if not exists(conn, "spock.replication_set_table"):
        return []
    return [Statement.of(row["sql"]) for row in conn.execute(_SETS, [names])]


# pg_identify_object()'s word for it -> DROP's, where they differ
_WORDS = {
    "composite type": "TYPE",
    "statistics object": "STATISTICS",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    "server": "SERVER",
}


def _drop(what: Object) -> Statement:
    name = what.identity.replace(" on language ", " LANGUAGE ") if what.type == "transform" else what.identity
    return Statement.of(f"DROP {_WORDS.get(what.type, what.type.upper())} {name}")


# What leads back to the built-in default, whose entry the server then removes by itself.
_DEFAULT_ACLS = """
SELECT i.identity, pg_get_userbyid(a.defaclrole) AS role, n.nspname AS schema,
       CASE a.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                            WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS kind,
       (SELECT json_agg(DISTINCT CASE g.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(g.grantee) END)
        FROM aclexplode(a.defaclacl) g) AS grantees,
       a.defaclnamespace = 0 AS everywhere
FROM pg_default_acl a CROSS JOIN pg_identify_object('pg_default_acl'::regclass, a.oid, 0) i
LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace
"""


def _default_acls(conn: Any, fact: Mapping[str, Any], schemas: set[str]) -> list[Statement]:
    ours = {identity for _type, identity in fact.get("default_acls", [])}
    found = []
    for row in conn.execute(_DEFAULT_ACLS).fetchall() if ours else []:
        if row["identity"] not in ours or quote_ident(row["schema"] or "pg_catalog") in schemas:
            continue  # a schema takes its own along
        place = f" IN SCHEMA {quote_ident(row['schema'])}" if row["schema"] else ""
        head = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quote_ident(row['role'])}{place}"
        for name in row["grantees"] or []:
            found.append(f"{head} REVOKE ALL ON {row['kind']} FROM {quote_ident(name) if name else 'PUBLIC'}")
        if row["everywhere"]:  # a schema's entry only adds to this one
            found.append(f"{head} GRANT ALL ON {row['kind']} TO {quote_ident(row['role'])}")
            if row["kind"] in ("FUNCTIONS", "TYPES"):
                privilege = "EXECUTE" if row["kind"] == "FUNCTIONS" else "USAGE"
                found.append(f"{head} GRANT {privilege} ON {row['kind']} TO PUBLIC")
    return [Statement.of(sql) for sql in found]


_PUBLIC_NOW = """
SELECT pg_get_userbyid(nspowner) AS owner, nspacl::text AS acl,
       (SELECT json_agg(DISTINCT CASE g.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(g.grantee) END)
        FROM aclexplode(nspacl) g) AS grantees
FROM pg_namespace WHERE nspname = 'public'
"""
_ACL = """
SELECT CASE g.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(g.grantee) END AS grantee, g.privilege_type AS privilege,
       g.is_grantable AS grantable
FROM aclexplode(%s::aclitem[]) g ORDER BY 1, 2
"""


def _public(conn: Any, before: Mapping[str, Any] | None) -> list[Statement]:
    """The schema public was there before us: owner and grants go back to what they were."""
    now = conn.execute(_PUBLIC_NOW).fetchone()
    if not before or not now or (now["owner"], now["acl"]) == (before["owner"], before["acl"]):
        return []
    found = []
    if now["owner"] != before["owner"]:
        found.append(f"ALTER SCHEMA public OWNER TO {quote_ident(before['owner'])}")
    for name in now["grantees"] or []:
        found.append(f"REVOKE ALL ON SCHEMA public FROM {quote_ident(name) if name else 'PUBLIC'}")
    for g in conn.execute(_ACL, [before["acl"]]).fetchall() if before["acl"] else []:
        who, option = (
            quote_ident(g["grantee"]) if g["grantee"] else "PUBLIC",
            " WITH GRANT OPTION" if g["grantable"] else "",
        )
        found.append(f"GRANT {g['privilege']} ON SCHEMA public TO {who}{option}")
    return [Statement.of(sql) for sql in found]


# -- doing it ----------------------------------------------------------------------------------------------------------

_FOREIGN_KEYS = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', i.identity, c.conname) AS sql
FROM pg_constraint c CROSS JOIN pg_identify_object('pg_class'::regclass, c.conrelid, 0) i
CROSS JOIN pg_identify_object('pg_class'::regclass, c.confrelid, 0) p
WHERE c.contype = 'f' AND c.conparentid = 0 AND i.identity = ANY (%(names)s) AND p.identity = ANY (%(names)s)
"""
_DEFAULTS = """
SELECT format('ALTER TABLE %%s ALTER COLUMN %%I DROP DEFAULT', i.identity, a.attname) AS sql
FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = ''
CROSS JOIN pg_identify_object('pg_class'::regclass, d.adrelid, 0) i WHERE i.identity = ANY (%(names)s)
"""


def drop_everything(conn: Any, ledger: Ledger, removal: Removal, login: Login) -> None:
    """Drop it all in one transaction, then forget it. Raises CrossoverError with nothing dropped."""
    if not removal.facts:
        return
    names = {"names": [o.identity for o, _statement in removal.objects]}
    try:
        remove(conn, removal.large_objects)  # first, for they keep their owners; a rerun finds those that are left
        with conn.transaction():
            for statement in removal.sets:
                conn.execute(statement.sql.encode())
            for row in conn.execute(_FOREIGN_KEYS, names).fetchall():
                conn.execute(row["sql"].encode())
            left = _rounds(conn, removal.objects)
            if left:  # tables whose defaults need functions that need the tables
                for row in conn.execute(_DEFAULTS, names).fetchall():
                    conn.execute(row["sql"].encode())
                left = _rounds(conn, [(o, s) for o, s, _exc in left])
            if left:
                raise _in_the_way(left[0][0], left[0][2], login)
            for statement in removal.others:
                _other(conn, statement, removal)
            _roles(conn, removal)
            for key in removal.facts:
                ledger.forget(key)
    except driver().Error as exc:
        raise sql_error(
            exc, login, "the migration's objects could not be dropped", untouched="nothing was dropped"
        ) from None


def _rounds(conn: Any, objects: list[tuple[Object, Statement]]) -> list[tuple[Object, Statement, Any]]:
    """Drop what nothing depends on, again and again; what is left depends on something that is not ours."""
    errors = driver().errors
    todo = objects
    while True:
        left: list[tuple[Object, Statement, Any]] = []
        for what, statement in todo:
            try:
                with conn.transaction():
                    conn.execute(statement.sql.encode())
            except errors.DependentObjectsStillExist as exc:
                left.append((what, statement, exc))
            except (errors.UndefinedTable, errors.UndefinedObject, errors.UndefinedFunction, errors.InvalidSchemaName):
                pass  # it went with another one: a sequence with its table
        if not left or len(left) == len(todo):
            return left
        todo = [(what, statement) for what, statement, _exc in left]


def _in_the_way(what: Object, exc: Any, login: Login) -> CrossoverError:
    return sql_error(
        exc,
        login,
        f"{what} cannot be dropped",
        code="foreign_object",
        object=str(what),
        untouched="nothing was dropped",
        hint="drop or move what depends on it: the migration did not create that",
    )


def _other(conn: Any, statement: Statement, removal: Removal) -> None:
    """Settings and grants: one whose role or schema is gone has nothing to take back."""
    errors = driver().errors
    try:
        with conn.transaction():
            conn.execute(statement.sql.encode())
    except (errors.UndefinedObject, errors.InvalidSchemaName) as exc:
        removal.warnings.append(f"{statement}: {str(exc).splitlines()[0]}")


def _roles(conn: Any, removal: Removal) -> None:
    """A role that still owns something, or is granted something here or in another database, stays."""
    errors = driver().errors
    for name in removal.roles:
        try:
            with conn.transaction():
                conn.execute(f"DROP ROLE {quote_ident(name)}".encode())
        except errors.DependentObjectsStillExist as exc:
            reason = " ".join((exc.diag.message_detail or "").split())
            removal.warnings.append(f"role {name} stays: {reason}")
