# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identifiers, literals and statements (private to the collection). The only place that quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ._errors import CrossoverError

HIDDEN = "********"

# Keywords that PostgreSQL's quote_ident() quotes: every category but "unreserved"
# (select word from pg_get_keywords() where catcode <> 'U', PostgreSQL 16 and 18 together).
_KEYWORDS = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both
    case cast char character check coalesce collate collation column concurrently constraint create cross
    current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
    decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
    freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect
    interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query
    json_scalar json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset on
    only or order out outer overlaps overlay placing position precision primary real references returning right
    row select session_user setof similar smallint some substring symmetric system_user table tablesample then
    time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when
    where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi
    xmlroot xmlserialize xmltable
    """.split()
)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
_NAME_PART = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|\Z)')


def quote_ident(name: str) -> str:
    """Quote an identifier exactly when PostgreSQL's quote_ident() would."""
    if _PLAIN.match(name) and name not in _KEYWORDS:
        return name
    if not name or "\0" in name:
        raise CrossoverError(f"{name!r} is not a name that PostgreSQL can have", code="bad_name")
    return '"' + name.replace('"', '""') + '"'


def quote_always(name: str) -> str:
    """Quote an identifier even where it is not needed: what community.postgresql writes in some statements."""
    quoted = quote_ident(name)
    return quoted if quoted.startswith('"') else f'"{quoted}"'


def quote_literal(value: str) -> str:
    """Quote a string as PostgreSQL's quote_literal() does, independent of standard_conforming_strings."""
    if "\0" in value:
        raise CrossoverError("a value holds a zero byte, which PostgreSQL cannot store", code="bad_value")
    quoted = "'" + value.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def qualified(schema: str, name: str) -> str:
    """schema.name, each part quoted where needed."""
    return f"{quote_ident(schema)}.{quote_ident(name)}"


def split_name(text: str) -> tuple[str, ...]:
    """Split a possibly qualified name as written by a person: ``shop.orders``, ``"My Schema"."a.b"``.

    Unquoted parts keep their case (Ansible users write names as they are, not as SQL folds them).
    """
    parts: list[str] = []
    at = 0
    while at < len(text):
        match = _NAME_PART.match(text, at)
        if not match:
            raise CrossoverError(
                f"{text!r} is not a name: quote parts that hold dots, quotes or spaces", code="bad_name"
            )
        parts.append(match.group(1).replace('""', '"') if match.group(1) else match.group(2))
        at = match.end()
        if match.group(3) == "." and at >= len(text):
            raise CrossoverError(f"{text!r} ends with a dot", code="bad_name")
    if not parts:
        raise CrossoverError("a name is empty", code="bad_name")
    return tuple(parts)


def hide(text: str, secrets: Iterable[str | None]) -> str:
    """Take secrets out of a text, however they were quoted: as a literal, in a connection string, or in both."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        escaped = secret.replace("\\", "\\\\").replace("'", "\\'")  # as in a connection string
        forms = {secret, escaped, quote_literal(secret), quote_literal(escaped)}
        forms |= {form.removeprefix("E")[1:-1] for form in forms if form.removeprefix("E").startswith("'")}
        for form in sorted(filter(None, forms), key=len, reverse=True):
            text = text.replace(form, f"'{HIDDEN}'" if form.endswith("'") and form[0] in "E'" else HIDDEN)
    return text


@dataclass(frozen=True)
class Statement:
    """One SQL statement of a plan, and how it may be shown."""

    sql: str
    shown: str

    @classmethod
    def of(cls, sql: str, secrets: tuple[str | None, ...] = ()) -> Statement:
        """Build a statement whose secrets, in whatever way they were quoted, are hidden when it is shown."""
        return cls(sql, hide(sql, secrets))

    def __str__(self) -> str:
        return self.shown
