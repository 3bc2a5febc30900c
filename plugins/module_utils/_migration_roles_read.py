# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of a server, what a database grants and sets: what any login can see (private to the collection)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ._pg_catalog import NOT_MIGRATED, server_version

# PostgreSQL's own roles, and those that the managed services keep for themselves.
RESERVED = re.compile(r"(pg_|rds|aws|cloudsql|azure)")


@dataclass(frozen=True)
class Role:
    """One role; the fields are CREATE ROLE's options."""

    name: str
    superuser: bool = False
    inherit: bool = True
    createrole: bool = False
    createdb: bool = False
    login: bool = False
    replication: bool = False
    bypassrls: bool = False
    connections: int = -1
    valid_until: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class Membership:
    """``member`` is in ``role``. ``inherit`` and ``set`` exist since PostgreSQL 16, None before."""

    role: str
    member: str
    admin: bool = False
    inherit: bool | None = None
    set: bool | None = None


@dataclass(frozen=True)
class Setting:
    """ALTER ROLE … SET, ALTER ROLE … IN DATABASE … SET (``here``), ALTER DATABASE … SET (no role, ``here``)."""

    role: str
    here: bool
    name: str
    value: str

    @property
    def key(self) -> tuple[str, bool, str]:
        """What a second value would replace."""
        return self.role, self.here, self.name.lower()


@dataclass(frozen=True)
class Grant:
    """One privilege on the database; grantee '' is PUBLIC."""

    grantee: str
    privilege: str
    grantable: bool = False


@dataclass(frozen=True)
class Roles:
    """Everything about roles on one server, seen from one database."""

    database: str
    owner: str
    login: str
    version: int
    roles: dict[str, Role] = field(default_factory=dict)
    memberships: tuple[Membership, ...] = ()
    settings: tuple[Setting, ...] = ()
    grants: tuple[Grant, ...] = ()
    default_acl: bool = True  # nobody has granted or revoked anything on the database yet
    comment: str | None = None  # of the database
    direct: frozenset[str] = frozenset()  # named in this database: owners, grantees, policies, settings
    verifiers: dict[str, str | None] | None = None  # password hashes; None where they cannot be read
    parameters: frozenset[str] = frozenset()  # the server's settings by name


_ROLES = """
SELECT rolname AS name, rolsuper AS superuser, rolinherit AS inherit, rolcreaterole AS createrole,
       rolcreatedb AS createdb, rolcanlogin AS login, rolreplication AS replication, rolbypassrls AS bypassrls,
       rolconnlimit AS connections,
       rolvaliduntil::text AS valid_until, shobj_description(oid, 'pg_authid') AS comment
FROM pg_roles ORDER BY oid
"""

# One membership may have been granted by several roles (16): each option holds if any of them gave it.
_MEMBERSHIPS = """
SELECT r.rolname AS role, m.rolname AS member, bool_or(a.admin_option) AS admin, {inherit} AS inherit, {set} AS set
FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
GROUP BY 1, 2 ORDER BY r.rolname COLLATE "C", m.rolname COLLATE "C"
"""

_SETTINGS = """
SELECT coalesce(r.rolname, '') AS role, s.setdatabase <> 0 AS here,
       split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value
FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS c LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
   OR (s.setdatabase = 0 AND s.setrole <> 0)
ORDER BY 1, 2, 3
"""

_GRANTS = """
SELECT coalesce(r.rolname, '') AS grantee, a.privilege_type AS privilege, bool_or(a.is_grantable) AS grantable
FROM pg_database d CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = current_database() AND (a.grantee = 0 OR r.oid IS NOT NULL)
GROUP BY 1, 2 ORDER BY 1, 2
"""

# Every object notes in pg_shdepend who owns it, who has rights on it and whom its policies name. What extensions own,
# the migration's own schema, publications and event triggers are not carried over and need nobody.
_DIRECT = """
SELECT DISTINCT r.rolname AS name
FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
WHERE d.refclassid = 'pg_authid'::regclass AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND d.classid <> ALL ('{pg_extension,pg_publication,pg_event_trigger,pg_subscription}'::regclass[])
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
  AND NOT EXISTS (
      SELECT FROM pg_namespace n
      WHERE n.nspname = ANY (%(not_migrated)s)
        AND n.oid = CASE d.classid
            WHEN 'pg_namespace'::regclass THEN d.objid
            WHEN 'pg_class'::regclass THEN (SELECT relnamespace FROM pg_class WHERE oid = d.objid)
            WHEN 'pg_proc'::regclass THEN (SELECT pronamespace FROM pg_proc WHERE oid = d.objid)
            WHEN 'pg_type'::regclass THEN (SELECT typnamespace FROM pg_type WHERE oid = d.objid)
            END)
"""

_DATABASE = """
SELECT d.datname AS database, pg_get_userbyid(d.datdba) AS owner, session_user AS login,
       d.datacl IS NULL AS default_acl,
       shobj_description(d.oid, 'pg_database') AS comment,
       has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS hashes
FROM pg_database d WHERE d.datname = current_database()
"""


def read(conn: Any) -> Roles:
    """Read one side."""
    version = server_version(conn)
    options = {"inherit": "bool_or(a.inherit_option)", "set": "bool_or(a.set_option)"}
    memberships = _MEMBERSHIPS.format(**(options if version >= 160000 else {"inherit": "NULL", "set": "NULL"}))
    place = conn.execute(_DATABASE).fetchone()
    verifiers = None
    if place.pop("hashes"):
        verifiers = {r["rolname"]: r["rolpassword"] for r in conn.execute("SELECT rolname, rolpassword FROM pg_authid")}
    return Roles(
        version=version,
        **place,
        roles={row["name"]: Role(**row) for row in conn.execute(_ROLES)},
        memberships=tuple(Membership(**row) for row in conn.execute(memberships)),
        settings=tuple(Setting(**row) for row in conn.execute(_SETTINGS)),
        grants=tuple(Grant(**row) for row in conn.execute(_GRANTS)),
        direct=frozenset(row["name"] for row in conn.execute(_DIRECT, {"not_migrated": list(NOT_MIGRATED)})),
        verifiers=verifiers,
        parameters=frozenset(row["name"] for row in conn.execute("SELECT name FROM pg_settings")),
    )


def needed(source: Roles, excluded: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """The roles that matter to this database, and those that matter but are left out.

    Named in it, granted something on it, members of such a role, or of the roles that may read or write everything.
    The migration's own login is a member of every owner: it only matters if the database itself names it.
    """
    wanted: set[str] = set(source.direct)
    wanted |= {s.role for s in source.settings if s.here and s.role}
    wanted |= {g.grantee for g in source.grants if g.grantee} | {source.owner}
    if source.login not in source.direct:
        wanted.discard(source.login)
    left_out = {name for name in wanted if _is_left_out(name, excluded)}
    wanted -= left_out
    spreading = wanted | {"pg_read_all_data", "pg_write_all_data"}
    while True:
        more = {m.member for m in source.memberships if m.role in spreading and not _is_left_out(m.member, excluded)}
        more -= spreading | ({source.login} - source.direct)
        if not more:
            break
        spreading |= more
    # in the source's order: made in this one, lists of roles (of a policy) read the same on both sides
    return [name for name in source.roles if name in spreading and not name.startswith("pg_")], sorted(left_out)


def _is_left_out(name: str, excluded: Iterable[str]) -> bool:
    return name in excluded or bool(RESERVED.match(name))
