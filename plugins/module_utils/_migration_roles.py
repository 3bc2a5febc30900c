# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which roles, memberships, settings and database grants the node lacks (private to the collection). Pure functions.

What exists is never overwritten: a role that was on the node keeps its attributes, password and settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ._migration_roles_read import Grant, Membership, Role, Roles, Setting, needed
from ._pg_scram import VERIFIER, matches
from ._pg_sql import Statement, quote_ident, quote_literal

# Settings whose stored value is a list of quoted names (GUC_LIST_QUOTE): each name is a literal of its own.
_LISTS = (
    "search_path", "temp_tablespaces", "session_preload_libraries", "shared_preload_libraries",
    "local_preload_libraries", "unix_socket_directories",
)  # fmt: skip


@dataclass
class RolesPlan:
    """What to do on the node. ``undo`` takes back what DROP ROLE does not, in this order."""

    statements: list[Statement] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)
    without_password: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, sql: str, undo: str | None = None, secret: str | None = None) -> None:
        """One more statement."""
        self.statements.append(Statement.of(sql, (secret,)))
        if undo:
            self.undo.insert(0, undo)


def plan(
    source: Roles,
    node: Roles,
    ours: Collection[str] = (),
    passwords: Mapping[str, str] | None = None,
    excluded: Collection[str] = (),
    encrypt: Callable[[str, str], str] = lambda _role, password: password,
) -> RolesPlan:
    """``ours``: the roles that an earlier run created. ``encrypt``: role and password -> what the node stores."""
    passwords = passwords or {}
    wanted, left_out = needed(source, excluded)
    made = RolesPlan(left_out=[name for name in left_out if name not in node.roles])
    made.existing = [name for name in wanted if name in node.roles]
    made.created = [name for name in wanted if name not in node.roles]
    managed = set(made.created) | (set(ours) & set(wanted))
    _roles(made, source, node, managed, passwords, encrypt)
    _memberships(made, source, node, set(wanted), managed)
    _settings(made, source, node, set(wanted), managed)
    _database(made, source, node, set(wanted))
    _warn(made, source, node, managed, passwords, excluded)
    return made


# -- roles -------------------------------------------------------------------------------------------------------------


def _roles(
    made: RolesPlan,
    source: Roles,
    node: Roles,
    managed: set[str],
    passwords: Mapping[str, str],
    encrypt: Callable[[str, str], str],
) -> None:
    for name in (n for n in source.roles if n in managed):
        role, stored = source.roles[name], (node.verifiers or {}).get(name)
        given = passwords.get(name) or (source.verifiers or {}).get(name)
        secret = None
        if given and not (stored and matches(stored, name, given)):
            secret = given if VERIFIER.match(given) else encrypt(name, given)
        if name in made.created:
            password = f" PASSWORD {quote_literal(secret)}" if secret else ""
            made.add(f"CREATE ROLE {quote_ident(name)} WITH {_options(role)}{password}", secret=secret)
            if role.comment:
                made.add(f"COMMENT ON ROLE {quote_ident(name)} IS {quote_literal(role.comment)}")
        elif secret:
            made.add(f"ALTER ROLE {quote_ident(name)} PASSWORD {quote_literal(secret)}", secret=secret)
        if role.login and not given and not stored:
            made.without_password.append(name)


def _options(role: Role) -> str:
    """CREATE ROLE's options; what is the default is not written, and SUPERUSER never."""
    options = ["LOGIN" if role.login else "NOLOGIN"]
    options += [] if role.inherit else ["NOINHERIT"]
    for name in ("createdb", "createrole", "replication", "bypassrls"):
        options += [name.upper()] if getattr(role, name) else []
    options += [f"CONNECTION LIMIT {role.connections}"] if role.connections != -1 else []
    options += [f"VALID UNTIL {quote_literal(role.valid_until)}"] if role.valid_until else []
    return " ".join(options)


# -- memberships -------------------------------------------------------------------------------------------------------


def _memberships(made: RolesPlan, source: Roles, node: Roles, wanted: set[str], managed: set[str]) -> None:
    there = {(m.role, m.member) for m in node.memberships}
    for m in source.memberships:
        known = m.role in wanted or (m.role in node.roles and m.role.startswith("pg_"))
        if not known or m.member not in wanted or (m.role, m.member) in there:
            continue
        if m.role in managed or m.member in managed:
            made.add(f"GRANT {quote_ident(m.role)} TO {quote_ident(m.member)}{_membership_options(m, node.version)}")


def _membership_options(m: Membership, version: int) -> str:
    options = ["ADMIN OPTION"] if m.admin else []
    if version >= 160000 and m.inherit is not None:
        options = ["ADMIN TRUE"] if m.admin else []
        options += [f"INHERIT {str(m.inherit).upper()}", f"SET {str(m.set).upper()}"]
    return f" WITH {', '.join(options)}" if options else ""


# -- settings ----------------------------------------------------------------------------------------------------------


def _settings(made: RolesPlan, source: Roles, node: Roles, wanted: set[str], managed: set[str]) -> None:
    there = {s.key: s.value for s in node.settings}
    for s in source.settings:
        if s.role and s.role not in (wanted if s.here else managed):
            continue
        if "." not in s.name and s.name.lower() not in {p.lower() for p in node.parameters}:
            made.warnings.append(f"the node has no setting {s.name}: {_subject(s, source.database)} SET is left out")
        elif s.key not in there:
            subject = _subject(s, node.database)
            undo = None if s.role in managed else f"{subject} RESET {_setting_name(s.name)}"
            made.add(f"{subject} SET {_setting_name(s.name)} TO {_value(s)}", undo)
        elif there[s.key] != s.value:
            made.warnings.append(f"{_subject(s, node.database)} SET {s.name} is another on the node: left as it is")


def _subject(s: Setting, database: str) -> str:
    if not s.role:
        return f"ALTER DATABASE {quote_ident(database)}"
    place = f" IN DATABASE {quote_ident(database)}" if s.here else ""
    return f"ALTER ROLE {quote_ident(s.role)}{place}"


def _setting_name(name: str) -> str:
    return ".".join(quote_ident(part) for part in name.split("."))


def _value(s: Setting) -> str:
    if s.name.lower() not in _LISTS:
        return quote_literal(s.value)
    names = re.findall(r'"((?:[^"]|"")*)"|([^\s,"][^,]*)', s.value)
    return (
        ", ".join(quote_literal(quoted.replace('""', '"') if not plain else plain.strip()) for quoted, plain in names)
        or "''"
    )


# -- the database ------------------------------------------------------------------------------------------------------


def _database(made: RolesPlan, source: Roles, node: Roles, wanted: set[str]) -> None:
    name = quote_ident(node.database)
    there = {(g.grantee, g.privilege): g.grantable for g in node.grants}
    for g in source.grants:
        if g.grantee and (g.grantee not in wanted or g.grantee == node.owner or _superuser(node, g.grantee)):
            continue
        if (g.grantee, g.privilege) not in there or (g.grantable and not there[g.grantee, g.privilege]):
            who, option = _who(g), " WITH GRANT OPTION" if g.grantable else ""
            made.add(
                f"GRANT {g.privilege} ON DATABASE {name} TO {who}{option}",
                f"REVOKE {g.privilege} ON DATABASE {name} FROM {who}",
            )
    if node.default_acl:  # nobody has decided otherwise on the node
        kept = {g.privilege for g in source.grants if not g.grantee}
        for g in node.grants:
            if not g.grantee and g.privilege not in kept:
                made.add(
                    f"REVOKE {g.privilege} ON DATABASE {name} FROM PUBLIC",
                    f"GRANT {g.privilege} ON DATABASE {name} TO PUBLIC",
                )
    if source.comment and not node.comment:
        made.add(
            f"COMMENT ON DATABASE {name} IS {quote_literal(source.comment)}", f"COMMENT ON DATABASE {name} IS NULL"
        )


def _who(grant: Grant) -> str:
    return quote_ident(grant.grantee) if grant.grantee else "PUBLIC"


def _superuser(node: Roles, name: str) -> bool:
    return name in node.roles and node.roles[name].superuser


# -- what a person should know -----------------------------------------------------------------------------------------


def _warn(
    made: RolesPlan,
    source: Roles,
    node: Roles,
    managed: set[str],
    passwords: Mapping[str, str],
    excluded: Collection[str],
) -> None:
    supers = [n for n in made.created if source.roles[n].superuser]
    if supers:
        made.warnings.append(f"superuser on the source, not on the node: {', '.join(supers)}")
    if made.left_out:
        made.warnings.append(
            f"roles left out, with what they own and what is granted to them: {', '.join(made.left_out)}"
        )
    for m in source.memberships:
        if m.member in managed and m.role not in node.roles and m.role not in made.created and m.role not in excluded:
            made.warnings.append(f"{m.member} is a member of {m.role} on the source, which the node does not have")
    for name in made.existing:
        if name not in managed and (differing := _differing(source.roles[name], node.roles[name])):
            made.warnings.append(f"role {name} was on the node before and keeps its own {', '.join(differing)}")
    for name in sorted(set(passwords) - managed):
        before = "which was on the node before: its password is left as it is"
        reason = before if name in node.roles else "which this database does not need"
        made.warnings.append(f"role_passwords names {name}, {reason}")


def _differing(source: Role, node: Role) -> Iterable[str]:
    if node.superuser:
        return []
    names = ("login", "inherit", "createrole", "createdb", "replication", "bypassrls")
    return [name.upper() for name in names if getattr(source, name) != getattr(node, name)]
