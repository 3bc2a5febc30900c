# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large objects: what a side has, and bringing them to the other (private to the collection).

pg_largeobject itself is closed to all but superusers; the functions are not. An object keeps its OID, for rows refer to
it; its owner, grants and comment come along. Objects are compared by size and hash, on the servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._errors import CrossoverError
from ._pg_sql import quote_ident, quote_literal

FACT = "fence_copy"  # the ledger's: OIDs and unlogged tables that this migration has brought over
PIECE = 1 << 20  # bytes that are read, hashed and written at a time: lo_get makes one value of them
_GROUP = 8 * PIECE  # bytes that are on the way at a time
_OBJECTS = 500  # in a transaction: each one's new owner, or removal, takes a lock until its end

Acl = tuple[tuple[str, str, bool], ...]  # grantee ('' is PUBLIC), privilege, with grant option


@dataclass(frozen=True)
class Large:
    """One large object."""

    oid: int
    size: int
    digest: int
    owner: str
    acl: Acl
    comment: str | None

    def same_bytes(self, other: Large | None) -> bool:
        """Whether both hold the same."""
        return other is not None and (self.size, self.digest) == (other.size, other.digest)


@dataclass(frozen=True)
class Changes:
    """What makes the other side the same. ``described``: owner, grants or comment differ, or it is new there."""

    written: tuple[Large, ...]
    described: tuple[Large, ...]
    removed: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """How much is to be carried."""
        return sum(large.size for large in self.written)

    def __bool__(self) -> bool:
        return bool(self.written or self.described or self.removed)


def changes(here: Mapping[int, Large], there: Mapping[int, Large], removable: Iterable[int]) -> Changes:
    """From one side's objects and the other's; only what is ``removable`` is removed there."""
    written = [large for oid, large in here.items() if not large.same_bytes(there.get(oid))]
    described = [
        large
        for oid, large in here.items()
        if (other := there.get(oid)) is None
        or (large.owner, large.acl, large.comment) != (other.owner, other.acl, other.comment)
    ]
    gone = (set(there) - set(here)) & set(removable)
    return Changes(tuple(written), tuple(described), tuple(sorted(gone)))


# 64 bits, the same on every version: 0.8 to 1 GB/s (PostgreSQL 16 and 18, without OpenSSL), md5 0.5, sha256 0.1 to 0.2.
# Reading through a descriptor takes the lock on pg_largeobject that writing takes, so descriptors are only for sizes.
# OFFSET 0: each is opened once.
_OBJECTS_OF = """
SELECT o.oid, o.size, h.digest, o.owner, o.acl, o.comment, o.closed
FROM (
    SELECT f.oid, f.fd, lo_lseek64(f.fd, 0, 2) AS size, lo_close(f.fd) AS closed, f.owner, f.acl, f.comment
    FROM (
        SELECT m.oid::int8 AS oid, lo_open(m.oid, 262144) AS fd, pg_get_userbyid(m.lomowner) AS owner,
               d.description AS comment,
               (SELECT json_agg(json_build_array(CASE g.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(g.grantee) END,
                                                 g.privilege_type, g.is_grantable))
                FROM aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) g) AS acl
        FROM pg_largeobject_metadata m
        LEFT JOIN pg_description d ON d.objoid = m.oid AND d.classoid = 'pg_largeobject'::regclass AND d.objsubid = 0
        WHERE %(oids)s::int8[] IS NULL OR m.oid = ANY (%(oids)s::int8[]::oid[])
        OFFSET 0) f
    OFFSET 0) o
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.size <= %(piece)s THEN hash_record_extended(ROW(lo_get(o.oid::oid)), 1)
           ELSE hash_record_extended(ROW((
               SELECT string_agg(int8send(hash_record_extended(
                          ROW(lo_get(o.oid::oid, n * %(piece)s, %(piece)s::int4)), 1)), '' ORDER BY n)
               FROM generate_series(0, (o.size - 1) / %(piece)s) n)), 1) END AS digest) h
"""


def read(conn: Any, oids: Iterable[int] | None = None) -> dict[int, Large]:
    """Every large object, or some of them, with the hash of its bytes. The session has a transaction open."""
    wanted = {"oids": None if oids is None else list(oids), "piece": PIECE}
    found = {}
    for row in conn.execute(_OBJECTS_OF, wanted):
        acl = tuple(sorted((str(who), str(what), bool(option)) for who, what, option in row["acl"] or []))
        found[row["oid"]] = Large(row["oid"], row["size"], row["digest"], row["owner"], acl, row["comment"])
    return found


_HIDDEN = """
    NOT current_setting('lo_compat_privileges')::bool AND NOT pg_has_role(m.lomowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) g WHERE g.privilege_type = 'SELECT'
                       AND (g.grantee = 0 OR pg_has_role(g.grantee, 'USAGE')))
"""
_UNREADABLE = f"""
SELECT m.oid::int8 AS oid, pg_get_userbyid(m.lomowner) AS owner
FROM pg_largeobject_metadata m WHERE {_HIDDEN} ORDER BY m.oid
"""


def unreadable(conn: Any) -> list[tuple[int, str]]:
    """OID and owner of what this login may not read."""
    return [(row["oid"], row["owner"]) for row in conn.execute(_UNREADABLE)]


_SIZES = f"""
SELECT count(*) AS n, coalesce(sum(size), 0)::int8 AS size, max(closed) FROM (
    SELECT lo_lseek64(fd, 0, 2) AS size, lo_close(fd) AS closed FROM (
        SELECT lo_open(m.oid, 262144) AS fd FROM pg_largeobject_metadata m WHERE NOT ({_HIDDEN}) OFFSET 0) f
    OFFSET 0) s
"""


def amount(conn: Any) -> tuple[int, int]:
    """How many there are, and the bytes of those that can be read: what is on disk is compressed."""
    row = conn.execute("SELECT count(*) AS n FROM pg_largeobject_metadata").fetchone()
    return row["n"], conn.execute(_SIZES).fetchone()["size"] if row["n"] else 0


def left(conn: Any, oids: Iterable[int]) -> list[int]:
    """Those of them that are there."""
    rows = conn.execute(
        "SELECT oid::int8 AS oid FROM pg_largeobject_metadata WHERE oid = ANY (%s::int8[]::oid[]) ORDER BY oid",
        [list(oids)],
    )
    return [row["oid"] for row in rows]


def remove(conn: Any, oids: Sequence[int], in_time: Callable[[], None] = lambda: None) -> None:
    """Unlink them, a few hundred in a transaction: each takes a lock until its end."""
    for at in range(0, len(oids), _OBJECTS):
        some = list(oids[at : at + _OBJECTS])
        conn.execute("SELECT count(lo_unlink(o)) FROM unnest(%s::int8[]::oid[]) o", [some])
        in_time()


# A descriptor's lock on pg_largeobject, and the lock on an object that is removed, stay until the transaction's end.
# Who waits for a fenced table gets an error once the switch is done, and what it wrote is rolled back with that.
_USERS = """
SELECT DISTINCT l.pid, coalesce(a.usename, 'a prepared transaction') AS "user", coalesce(a.state, '') AS state
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND (l.locktype = 'relation' AND l.relation = 'pg_largeobject'::regclass AND l.mode = 'RowExclusiveLock'
       OR l.locktype = 'object' AND l.classid = 'pg_largeobject'::regclass)
  AND NOT EXISTS (SELECT FROM pg_locks w WHERE w.pid = l.pid AND NOT w.granted AND w.locktype = 'relation')
ORDER BY 1
"""


def users(conn: Any) -> list[str]:
    """Who has a transaction open in which large objects were opened or removed."""
    return [f"pid {row['pid']} ({row['user']}, {row['state']})" for row in conn.execute(_USERS)]


def _groups(larges: Iterable[Large]) -> Iterator[list[tuple[int, int]]]:
    """OID and offset of the pieces, as many at a time as may be on the way."""
    group: list[tuple[int, int]] = []
    size = 0
    for large in larges:
        for offset in range(0, large.size, PIECE):
            group.append((large.oid, offset))
            size += min(PIECE, large.size - offset)
            if size >= _GROUP or len(group) >= 1000:
                yield group
                group, size = [], 0
    if group:
        yield group


class Bringer:
    """Writes to one side what the other has."""

    def __init__(self, reader: Any, writer: Any, in_time: Callable[[], None]) -> None:
        self.reader, self.writer, self.in_time = reader, writer, in_time
        self.stand_in = reader.info.user  # the owner, on this side, of what belongs to a role that was left out here
        self.roles = {row["rolname"] for row in writer.execute("SELECT rolname FROM pg_roles")}

    def bring(self, todo: Changes, there: Iterable[int]) -> None:
        """In transactions of a few hundred objects each. Raises where one is not the same afterwards."""
        known = set(there)
        both = {large.oid: large for large in (*todo.written, *todo.described)}
        written = {large.oid for large in todo.written}
        larges = list(both.values())
        remove(self.writer, todo.removed, self.in_time)
        for at in range(0, len(larges), _OBJECTS):
            some = larges[at : at + _OBJECTS]
            with self.writer.transaction():
                self._write([large for large in some if large.oid in written], known)
                self._describe(some)

    def _write(self, larges: Sequence[Large], known: set[int]) -> None:
        fresh = [large.oid for large in larges if large.oid not in known]
        emptied = [large.oid for large in larges if large.oid in known]
        if fresh:
            self.writer.execute("SELECT count(lo_create(o)) FROM unnest(%s::int8[]::oid[]) o", [fresh])
        if emptied:
            self.writer.execute(
                """SELECT lo_truncate64(fd, 0), lo_close(fd)
                   FROM (SELECT lo_open(o, 131072) AS fd FROM unnest(%s::int8[]::oid[]) o OFFSET 0) f""",
                [emptied],
            )
        for group in _groups(larges):
            places = [[oid for oid, _at in group], [offset for _oid, offset in group]]
            rows = self.reader.execute(
                "SELECT lo_get(o::oid, n, %s::int4) AS piece FROM unnest(%s::int8[], %s::int8[]) AS p (o, n)",
                [PIECE, *places],
                binary=True,
            ).fetchall()
            self.in_time()
            self.writer.execute(
                "SELECT count(lo_put(o::oid, n, piece)::text) "
                "FROM unnest(%s::int8[], %s::int8[], %s::bytea[]) AS p (o, n, piece)",
                [*places, [row["piece"] for row in rows]],
            )
            self.in_time()

    def _describe(self, larges: Sequence[Large]) -> None:
        """Owner, grants, comment; a role that was left out is left out here, too."""
        now = read(self.writer, [large.oid for large in larges])
        statements: list[str] = []
        for large in larges:
            other = now[large.oid]
            if not large.same_bytes(other):
                raise CrossoverError(
                    f"large object {large.oid} is not the same on the other side after it was copied",
                    code="large_object_differs",
                    object=str(large.oid),
                    hint="something writes to it there: stop that and run again",
                )
            statements += self._differences(large, other)
        if statements:
            self.writer.execute("; ".join(statements).encode())
        self.in_time()

    def _differences(self, large: Large, other: Large) -> list[str]:
        name = f"LARGE OBJECT {large.oid}"
        found: list[str] = []
        owner = large.owner if large.owner in self.roles - {self.stand_in} else other.owner
        if owner != other.owner:
            found.append(f"ALTER {name} OWNER TO {quote_ident(owner)}")
        acl = [(owner if who == large.owner else who, what, option) for who, what, option in large.acl]
        wanted = [grant for grant in acl if not grant[0] or grant[0] in self.roles]
        if owner != other.owner or set(wanted) != set(other.acl):
            for who in {who for who, _what, _option in other.acl} | {owner}:
                found.append(f"REVOKE ALL ON {name} FROM {_role(who)}")
            for who, what, option in wanted:
                found.append(f"GRANT {what} ON {name} TO {_role(who)}{' WITH GRANT OPTION' if option else ''}")
        if large.comment != other.comment:
            comment = quote_literal(large.comment) if large.comment is not None else "NULL"
            found.append(f"COMMENT ON {name} IS {comment}")
        return found


def _role(name: str) -> str:
    return quote_ident(name) if name else "PUBLIC"
