# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs together in the dump, and which of it the node lacks (private to the collection).

A unit is one object with its comment and grants: it is created in one transaction, so it is there or it is not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ._errors import CrossoverError
from ._migration_restore import NAME, Entry
from ._migration_schema_objects import Object, identify, present

# Entries without an OID of their own that are more than an addition to another one.
_STATES = ("INDEX ATTACH", "ROW SECURITY")
_ATTACH = re.compile(rf"ALTER INDEX {NAME}\.{NAME} ATTACH PARTITION (?P<child>{NAME}\.{NAME});")


@dataclass(frozen=True)
class Unit:
    """One object and what comes with it. ``object`` is what it is called on both sides."""

    entry: Entry
    object: Object
    additions: tuple[Entry, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """In the order in which they run."""
        return (self.entry, *self.additions)


@dataclass(frozen=True)
class Present:
    """What the node has."""

    objects: frozenset[Object]
    attached: frozenset[str]  # partitions' indexes that belong to an index of their parent
    row_security: frozenset[str]  # tables
    whole_views: frozenset[str]  # views that are more than pg_dump's placeholder

    def has(self, unit: Unit) -> bool:
        """Whether the unit is there."""
        kind, name = unit.entry.type, unit.object.identity
        if kind == "INDEX ATTACH":
            return name in self.attached
        if kind == "ROW SECURITY":
            return name in self.row_security
        if kind == "RULE" and name.startswith('"_RETURN" on '):
            return name.removeprefix('"_RETURN" on ') in self.whole_views
        return unit.object in self.objects


_INDEXES = "SELECT i.inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind IN ('i', 'I')"
_SECURED = "SELECT oid FROM pg_class WHERE relrowsecurity"
# pg_dump first writes a view that needs a primary key as SELECT NULL::type, …, which depends on no relation.
_VIEWS = """
SELECT DISTINCT r.ev_class FROM pg_rewrite r
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
 AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
WHERE r.rulename = '_RETURN'
"""


def read_present(conn: Any) -> Present:
    """Read the node."""
    return Present(frozenset(present(conn)), *(_names(conn, query) for query in (_INDEXES, _SECURED, _VIEWS)))


def _names(conn: Any, query: str) -> frozenset[str]:
    rows = conn.execute(
        f"""SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ({query})"""
    )
    return frozenset(row["name"] for row in rows)


def units(source: Any, entries: Iterable[Entry]) -> tuple[list[Unit], list[Entry]]:
    """Units in the order of the dump, and the entries that add to something that is not in it (the schema public)."""
    entries = list(entries)
    names = identify(source, (_address(e) for e in entries if e.address[1]))
    found: dict[int, Unit] = {}
    loose: list[Entry] = []
    for entry in entries:
        if entry.type == "INDEX ATTACH":
            found[entry.id] = Unit(entry, Object("index partition", _child(entry)))
        elif entry.address[1]:
            name = names.get(_address(entry))
            if name is None:
                raise _vanished(entry)
            found[entry.id] = Unit(entry, name)
        else:
            parent = next((d for d in entry.depends if d in found), None)
            if parent is None:
                loose.append(entry)
            else:
                found[parent] = replace(found[parent], additions=(*found[parent].additions, entry))
    return list(found.values()), loose


def _address(entry: Entry) -> tuple[int, int]:
    # ROW SECURITY has its table's OID and no catalogue
    return (1259, entry.address[1]) if entry.type == "ROW SECURITY" else entry.address


def _child(entry: Entry) -> str:
    match = _ATTACH.match(entry.sql)
    if not match:
        raise CrossoverError(f"pg_dump wrote something unknown: {entry.sql}", code="defect", object=str(entry))
    return match["child"]


def _vanished(entry: Entry) -> CrossoverError:
    return CrossoverError(
        f"{entry} was dropped on the source while its schema was read",
        code="schema_changed",
        object=str(entry),
        untouched="nothing was changed",
        hint="run again when nobody changes the source's schema",
    )


_KEYS = """
SELECT 'pg_constraint'::regclass::oid::int8 AS class, oid::int8 AS oid FROM pg_constraint
WHERE contype = 'p' OR conindid IN (SELECT indexrelid FROM pg_index WHERE indisreplident)
UNION ALL
SELECT 'pg_class'::regclass::oid::int8, indexrelid::int8 FROM pg_index WHERE indisreplident
"""


def split_keys(source: Any, post: Iterable[Unit]) -> tuple[list[Unit], list[Unit]]:
    """What changes are applied by (primary keys, replica identities), and the rest of the post-data section."""
    post = list(post)
    addresses = {(row["class"], row["oid"]) for row in source.execute(_KEYS)}
    keys = {u.entry.id for u in post if u.entry.address in addresses}
    indexes = {u.entry.id for u in post if u.entry.type in ("INDEX", "CONSTRAINT")}
    # the partitions of a key belong to it; their index depends on no index but its own and its parent's
    keys |= {
        u.entry.id for u in post if u.entry.type == "INDEX ATTACH" and indexes.intersection(u.entry.depends) <= keys
    }
    return [u for u in post if u.entry.id in keys], [u for u in post if u.entry.id not in keys]


def referring_to(source: Any, tables: list[int]) -> set[tuple[int, int]]:
    """The foreign keys of other tables that refer to these: pg_dump writes them, whatever it was told to leave out."""
    rows = source.execute(
        """SELECT 'pg_constraint'::regclass::oid::int8 AS class, oid::int8 AS oid FROM pg_constraint
           WHERE contype = 'f' AND confrelid = ANY (%s::oid[])""",
        [tables],
    )
    return {(row["class"], row["oid"]) for row in rows}


def definitions(found: Iterable[Unit]) -> Mapping[str, str]:
    """What a definition is recognised by later, for every unit."""
    return {
        str(u.object): hashlib.sha256("\0".join(e.sql for e in u.entries).encode("utf-8", "replace")).hexdigest()[:16]
        for u in found
    }
