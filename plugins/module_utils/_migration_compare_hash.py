# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL expressions that hash rows so that equal hashes mean equal rows (private to the collection).

PostgreSQL's extended hash functions give the same value on every version and are fast, but they are made for hash
joins, and there several things may collide that a comparison must tell apart (read in the sources, tried on 16 and 18):

* hash_numeric_extended leaves out the sign, and NaN and both infinities are one value;
* the hash of int8, and of the timestamps built on it, folds the two halves: 1 and 4294967296 collide;
* jsonb hashes its numbers as numeric, arrays leave out their dimensions;
* with seed 0, NULL, the float 0 and the numeric NaN all hash to 0;
* enums hash by OID, and OIDs differ between servers.

So only types without such a fault are hashed as they are; the others go through their binary or text form first.
The hash of a row combines its columns linearly, so it is mixed once more before it is summed up: otherwise swapping one
column between two rows would leave the sum as it was. hashfloat8extended mixes 53 bits, hashint8extended only 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ._migration_compare_columns import Column
from ._pg_sql import quote_ident

_SEED = 4611686018427388039  # not 0 and not small: see above
_KEY_SEED = 2305843009213693967
_MIX_SEED = 1
_WIDEST = 1500

FIRST_OWN = 16384  # OIDs from here on are each server's own
_BPCHAR, _NUMERIC, _INTERVAL, _JSONB = 1042, 1700, 1186, 3802
_FLOATS = frozenset({700, 701})
_TEXTS = frozenset({19, 25, 1043})  # name, text, varchar: the same bytes, the same hash
# bool, bytea, "char", int2, int4, oid, bpchar, date, uuid, inet, cidr, macaddr, macaddr8, and the floats and texts
_SOUND = frozenset({16, 17, 18, 21, 23, 26, _BPCHAR, 1082, 2950, 869, 650, 829, 774}) | _FLOATS | _TEXTS
_BINARY = {20: "int8send", 1083: "time_send", 1114: "timestamp_send", 1184: "timestamptz_send"}
# Types of which PostgreSQL calls two values equal whose texts differ: 1.0 and 1.00, 1 day and 24:00:00.
_LOOSE = _FLOATS | {_BPCHAR, _NUMERIC, _INTERVAL, _JSONB}
# Types whose order is the same everywhere, so that an index can serve a range of keys.
_ORDERED = {
    20: "int8", 21: "int2", 23: "int4", 26: "oid", 1082: "date", 1114: "timestamp", 1184: "timestamptz",
    _NUMERIC: "numeric", 2950: "uuid",
}  # fmt: skip

DIRECT, BINARY, SCALED, TEXT, EXACT = "direct", "binary", "scaled", "text", "exact"


@dataclass(frozen=True)
class Pairing:
    """How one column is compared. ``loose``: texts may differ where PostgreSQL calls the values equal."""

    name: str
    source: Column
    node: Column
    form: str
    loose: bool = False

    @property
    def retyped(self) -> bool:
        """Whether the two sides have different types."""
        return self.source.type != self.node.type


def pair(source: Column, node: Column, exact: bool) -> Pairing:
    """Decide how a column is compared."""
    if exact:
        return Pairing(source.name, source, node, EXACT)
    if source.base in _TEXTS and node.base in _TEXTS:
        return Pairing(source.name, source, node, DIRECT)
    if source.base != node.base and (source.type != node.type or min(source.base, node.base) < FIRST_OWN):
        return Pairing(source.name, source, node, TEXT, loose=True)  # int and bigint, say: the texts decide
    if source.base in _SOUND:
        return Pairing(source.name, source, node, DIRECT)
    if source.base in _BINARY:
        return Pairing(source.name, source, node, BINARY)
    if source.base == _NUMERIC:
        return Pairing(source.name, source, node, SCALED)
    return Pairing(source.name, source, node, TEXT, loose=bool(source.leaves & _LOOSE))


def expression(column: Column, form: str) -> str:
    """What of a column goes into the hash. The C collation keeps collations that ignore case out of it."""
    value = f"t.{quote_ident(column.name)}"
    if form == BINARY:
        return f"{_BINARY[column.base]}({value})"
    if form == SCALED:
        return f"trim_scale({value})::text"
    if form == DIRECT:
        return f'{value} COLLATE "C"' if column.collated else value
    text = as_text(column)
    # the cast of char(n) to text takes the blanks off
    return f"octet_length({value}) || ' ' || {text}" if form == EXACT and column.base == _BPCHAR else text


def as_text(column: Column) -> str:
    """A column as text, compared by its bytes."""
    text = f"t.{quote_ident(column.name)}::text"
    return f'({text}) COLLATE "C"' if column.collated else text


def key_text(column: Column) -> str:
    """A key column as text that is the same for equal keys."""
    if column.base == _NUMERIC:
        return f"trim_scale(t.{quote_ident(column.name)})::text"
    if column.base in _FLOATS:
        return f"(t.{quote_ident(column.name)} + 0)::text"  # -0 is 0
    return as_text(column)


def _hash(expressions: Sequence[str], seed: int) -> str:
    """64 bits of these values; in parts where ROW would be wider than the 1664 entries that PostgreSQL allows."""
    if len(expressions) <= _WIDEST:
        return f"hash_record_extended(ROW({', '.join(expressions)}), {seed})"
    parts = [expressions[at : at + _WIDEST] for at in range(0, len(expressions), _WIDEST)]
    return _hash([f"({_hash(part, seed)})::float8" for part in parts], seed)


def row_hash(expressions: Sequence[str]) -> str:
    """The hash of a row, or of one column."""
    return _hash(expressions, _SEED) if expressions else "0::int8"


def key_hash(expressions: Sequence[str]) -> str:
    """The hash of a key, independent of the row's."""
    return _hash(expressions, _KEY_SEED) if expressions else "0::int8"


def mixed(hashed: str) -> str:
    """A row's hash, fit to be summed up."""
    return f"hashfloat8extended(({hashed})::float8, {_MIX_SEED})"


def ordered(column: Column) -> bool:
    """Whether an index on the column is in an order that both servers share."""
    return column.base in _ORDERED or (column.base in (25, 1043) and column.by_bytes)


def order_expression(column: Column) -> str:
    """A key column in an order that both servers share: its own, or its text's by bytes."""
    if ordered(column):
        return f"t.{quote_ident(column.name)}"
    return f't.{quote_ident(column.name)}::text COLLATE "C"'


def order_type(column: Column) -> str:
    """The type of :func:`order_expression`."""
    return _ORDERED.get(column.base, "text")
