# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries roles and schema from the source to the node, in parts (private to the collection).

roles, pre_data (tables, views, functions, grants: one transaction), keys (before rows arrive), post_data (after the
initial copy: indexes, constraints, triggers, policies; then materialised views and ANALYZE).
What is missing is derived from the two catalogues; the ledger knows which objects on the node are the migration's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ._migration_ledger import Ledger
from ._migration_restore import SETTINGS, Dump, Entry, adapt, dump, run_all, skipped
from ._migration_roles import RolesPlan, plan
from ._migration_roles_read import read as read_roles
from ._migration_schema_build import Builder, orphans
from ._migration_schema_fill import fill
from ._migration_schema_objects import FACT_POST, FACT_PRE, FACT_ROLES, Object, own, present
from ._migration_schema_pause import Pause, resume
from ._migration_schema_refuse import refusal, refuse_company, refuse_full, refuse_unknown
from ._migration_schema_units import Unit, definitions, read_present, referring_to, split_keys, units
from ._pg_catalog import Scope, Table, server_version, tables
from ._pg_connect import Login, connect, driver, sql_error
from ._pg_programs import for_servers
from ._pg_sql import Statement

PARTS = ("roles", "pre_data", "keys", "post_data")


@dataclass(frozen=True)
class Options:
    """What the user asks for."""

    scope: Scope = field(default_factory=Scope)
    role_passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    roles_exclude: tuple[str, ...] = ()
    extensions_exclude: tuple[str, ...] = ()
    jobs: int = 1
    refresh: bool = True
    analyze: bool = True
    bin_dir: str = ""
    subscription: str = ""
    check: bool = False


@dataclass
class Report:
    """What was done, or in check mode would be."""

    statements: list[Statement] = field(default_factory=list)
    added: dict[str, list[str]] = field(default_factory=dict)  # by part
    existing: int = 0
    roles: RolesPlan | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class SchemaSync:
    """One run. ``run`` is the order of events."""

    def __init__(self, source: Login, node: Login, migration: str, options: Options) -> None:
        self.logins = source, node
        self.o = options
        self.source: Any = connect(source)
        self.node: Any = connect(node, search_path=None, settings=SETTINGS)
        self.ledger = Ledger(self.node, migration)
        self.report = Report()

    def close(self) -> None:
        """Close both connections."""
        self.source.close()
        self.node.close()

    def run(self, parts: Collection[str]) -> Report:
        """The parts asked for, in their order. Everything that can be refused is refused before anything is changed."""
        self.refuse()
        if "pre_data" in parts and FACT_PRE not in self.ledger.facts():
            refuse_full(self.node, self.logins[1])
        if "pre_data" in parts and "roles" not in parts:
            self._check_roles()
        if {"pre_data", "keys", "post_data"}.intersection(parts):
            self._timed("read", lambda: self._pre)  # what cannot be read stops us before anything is changed
        self.report.statements += resume(self.node, self.ledger, self.o.check)
        steps = {"roles": self._roles, "pre_data": self._pre_data, "keys": self._keys, "post_data": self._post_data}
        for part in PARTS:
            if part in parts:
                self._timed(part, steps[part])
        return self.report

    def _timed(self, what: str, step: Callable[[], object]) -> None:
        start = time.monotonic()
        step()
        self.report.seconds[what] = round(time.monotonic() - start, 2)

    # -- what is refused -----------------------------------------------------------------------------------------------

    def _check_roles(self) -> None:
        missing = self._plan_roles.created
        if missing and not self.o.check:
            raise refusal(
                self.logins[1],
                f"{len(missing)} role(s) that own or are granted something are missing: {', '.join(missing[:5])}",
                "missing_roles",
                "run the part roles before pre_data, or leave them out by roles_exclude",
                missing[0],
            )

    # -- roles ---------------------------------------------------------------------------------------------------------

    @cached_property
    def _plan_roles(self) -> RolesPlan:
        ours = self.ledger.facts().get(FACT_ROLES, {}).get("created", [])
        encrypt = self.node.pgconn.encrypt_password
        return plan(
            read_roles(self.source),
            read_roles(self.node),
            ours,
            self.o.role_passwords,
            self.o.roles_exclude,
            # hashed here: the password itself does not travel, and appears in no log of the server
            lambda role, password: encrypt(password.encode(), role.encode(), b"scram-sha-256").decode(),
        )

    def _roles(self) -> None:
        found = self.report.roles = self._plan_roles
        self.report.warnings += found.warnings
        self.report.existing += len(found.existing)
        self.report.added["roles"] = list(found.created)
        self.report.statements += found.statements
        if self.o.check or not found.statements:
            return
        before = self.ledger.facts().get(FACT_ROLES, {})
        fact = {
            "created": sorted({*before.get("created", []), *found.created}),
            "undo": [*found.undo, *before.get("undo", [])],
        }
        try:
            with self.node.transaction():
                self.ledger.put(FACT_ROLES, fact)
                for statement in found.statements:
                    self.node.execute(statement.sql.encode(), prepare=False)
        except driver().Error as exc:
            untouched = "no role was created or changed"
            raise sql_error(exc, self.logins[1], "the roles could not be created", untouched=untouched) from None

    # -- the dump ------------------------------------------------------------------------------------------------------

    @cached_property
    def _dump(self) -> Dump:
        versions = server_version(self.source), server_version(self.node)
        programs = for_servers(["pg_dump", "pg_restore"], versions, self.logins, self.o.bin_dir)
        return dump(programs, self.logins[0], self.o.scope, [t.full_name for t in self._excluded])

    @cached_property
    def _excluded(self) -> list[Table]:
        names = set(self.o.scope.exclude_tables)
        return [t for t in tables(self.source) if {t.full_name, f"{t.schema}.{t.name}"} & names] if names else []

    def _entries(self, section: Collection[Entry]) -> list[Entry]:
        left_out, without = self._plan_roles.left_out, set(self.o.extensions_exclude)
        found = []
        for entry in section:
            extension = entry.name.removeprefix("EXTENSION ") if "EXTENSION" in (entry.type, entry.name[:9]) else None
            if not skipped(entry) and extension not in without and (adapted := adapt(entry, left_out)):
                found.append(adapted)
            if entry.type == "USER MAPPING" and "OPTIONS" not in entry.sql:
                self.report.warnings.append(f"{entry}: the source does not show its options to this login, set them")
        return found

    @cached_property
    def _pre(self) -> tuple[list[Unit], list[Entry]]:
        return units(self.source, self._entries(self._dump.pre))

    @cached_property
    def _post(self) -> tuple[list[Unit], list[Unit]]:
        found = units(self.source, self._entries(self._dump.post))[0]
        lost = referring_to(self.source, [t.oid for t in self._excluded])
        for unit in (u for u in found if u.entry.address in lost):
            self.report.warnings.append(f"{unit.object} is left out: it refers to a table that is excluded")
        return split_keys(self.source, [u for u in found if u.entry.address not in lost])

    def _missing(self, wanted: list[Unit], part: str) -> list[Unit]:
        there = read_present(self.node)
        missing = [unit for unit in wanted if not there.has(unit)]
        self.report.existing += len(wanted) - len(missing)
        self.report.added[part] = [str(unit.object) for unit in missing]
        return missing

    # -- pre_data ------------------------------------------------------------------------------------------------------

    def _pre_data(self) -> None:
        wanted, loose = self._pre
        fact: dict[str, Any] | None = self.ledger.facts().get(FACT_PRE)
        missing = self._missing(wanted, "pre_data")
        chosen = {e.id for unit in missing for e in unit.entries}
        if fact is None:  # the first time also what adds to objects that every database has
            chosen = {e.id for unit in wanted for e in unit.entries} | {e.id for e in loose}
        else:
            self._warn_changed(fact, wanted)
        known = {e.id: e for unit in wanted for e in unit.entries} | {e.id: e for e in loose}
        entries = [known[e.id] for e in self._dump.pre if e.id in chosen and e.id in known]
        self.report.statements += [e.statement for e in entries]
        if self.o.check or (fact is not None and not entries):
            return
        before = set(own(self.node)), present(self.node)
        public = _public(self.node)

        def record() -> None:
            made = [o for o in own(self.node) if o not in before[0]]
            made += [o for o in present(self.node) - before[1] if o.type == "extension"]
            order = {unit.object: i for i, unit in enumerate(wanted)}
            made.sort(key=lambda o: order.get(o, len(order)))
            old = fact or {"objects": [], "public": public}
            self.ledger.put(
                FACT_PRE,
                {
                    "objects": [*old["objects"], *([o.type, o.identity] for o in made)],
                    "public": old["public"],
                    "definitions": {**old.get("definitions", {}), **definitions(missing if fact else wanted)},
                    "pg_dump": self._dump.version,
                },
            )

        run_all(self.node, entries, record, self.logins[1])

    def _warn_changed(self, fact: Mapping[str, Any], wanted: list[Unit]) -> None:
        """DDL on the source since the schema was created: an object that is there may not be what the source has."""
        if fact.get("pg_dump") != self._dump.version:
            return  # another pg_dump may word the same thing differently
        then = fact.get("definitions", {})
        changed = [name for name, now in definitions(wanted).items() if name in then and then[name] != now]
        if changed:
            self.report.warnings.append(
                f"{len(changed)} object(s) have changed on the source since the schema was created on the node: "
                f"{', '.join(changed[:5])}; make the same change on the node"
            )

    # -- keys and post_data --------------------------------------------------------------------------------------------

    def _keys(self) -> None:
        self._need_pre()
        self._build(self._missing(self._post[0], "keys"))

    def _post_data(self) -> None:
        self._need_pre()
        missing = self._missing(self._post[1], "post_data")
        pause = Pause(self.node, self.ledger, self.o.subscription, self.logins[1])
        if missing:
            self.report.statements += pause.disable
            if self.o.check:
                self._build(missing)
            else:
                with pause:
                    self._remember(missing)
                    self._build(missing)
            self.report.statements += pause.enable
        self.fill()

    # -- for the copy, which creates them itself as each table completes -----------------------------------------------

    def after_rows(self) -> tuple[list[Unit], dict[int, int]]:
        """What of keys and post_data the node lacks, remembered as ours; and entry -> OID of the tables in the dump."""
        self._need_pre()
        missing = [*self._missing(self._post[0], "keys"), *self._missing(self._post[1], "post_data")]
        self.report.statements += [e.statement for unit in missing for e in unit.entries]
        if missing and not self.o.check:
            self._remember(missing)
        return missing, {e.id: e.address[1] for e in self._dump.pre if e.type == "TABLE"}

    def fill(self) -> None:
        """Materialised views and ANALYZE."""
        more = fill(self.source, self.node, self.o.scope, self.o.refresh, self.o.analyze)
        self.report.statements += more
        if more and not self.o.check:
            # not with SETTINGS: a view is filled with what its owner sees, through row-level security
            more.run(lambda: connect(self.logins[1]), self.logins[1], self.o.jobs)

    def refuse(self) -> None:
        """What is refused before anything is changed; takes the lock on the node's schema."""
        refuse_unknown(self.source, self.o.scope, self.logins[0])
        if not self.o.check:
            refuse_company(self.node, self.ledger, self.logins[1])

    def _need_pre(self) -> None:
        if not self.o.check and FACT_PRE not in self.ledger.facts():
            hint = "run the playbook crossover.pgedge.prepare first"
            raise refusal(self.logins[1], "the schema has not been created here", "no_schema", hint)

    def connect(self) -> Any:
        """A session that creates what pg_dump wrote."""
        return connect(self.logins[1], search_path=None, settings=SETTINGS)

    def _remember(self, missing: list[Unit]) -> None:
        """Objects that stand for themselves, before they are made: a view or function may need a key, and come late."""
        kinds = {"FUNCTION", "PROCEDURE", "AGGREGATE", "MATERIALIZED VIEW", "VIEW", "TYPE", "TABLE"}
        fact = self.ledger.facts().get(FACT_POST, {"objects": [], "default_acls": []})
        for kind, those in (
            ("objects", [u.object for u in missing if u.entry.type in kinds]),
            ("default_acls", [u.object for u in missing if u.entry.type == "DEFAULT ACL"]),
        ):
            fact[kind] += [[o.type, o.identity] for o in those if [o.type, o.identity] not in fact[kind]]
        self.ledger.put(FACT_POST, fact)

    def _build(self, missing: list[Unit]) -> None:
        self.report.statements += [e.statement for unit in missing for e in unit.entries]
        if self.o.check or not missing:
            return
        builder = Builder(self.connect, self.logins[1], self.o.jobs)
        builder.build(missing)
        if builder.failures:
            raise builder.error(self.explain)

    def explain(self, unit: Unit, exc: Exception) -> str | None:
        """What more can be said of a unit that could not be created."""
        if unit.entry.type == "FK CONSTRAINT" and getattr(exc, "sqlstate", None) == "23503":
            return orphans(self.source, self.node, unit)
        return None


def adopt(conn: Any, ledger: Ledger, objects: list[Object], roles: list[str]) -> None:
    """What a node got when it joined a mesh is the migration's, as if it had been created here."""
    fact: dict[str, Any] = {
        "objects": [[o.type, o.identity] for o in objects],
        "public": None,
        "definitions": {},
        "pg_dump": "",
    }
    with conn.transaction():
        ledger.put(FACT_PRE, fact)
        ledger.put(FACT_ROLES, {"created": roles, "undo": []})


def _public(conn: Any) -> dict[str, Any] | None:
    row = conn.execute(
        "SELECT pg_get_userbyid(nspowner) AS owner, nspacl::text AS acl FROM pg_namespace WHERE nspname = 'public'"
    ).fetchone()
    return dict(row) if row else None
