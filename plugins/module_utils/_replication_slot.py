# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replication slots: what is wanted against what is there (private to the collection)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping

from ._errors import CrossoverError
from ._pg_connect import Login, connect
from ._pg_lsn import Lsn
from ._pg_sql import Statement, quote_literal
from ._replication_apply import apply

# what -> (first version that can create with it, first version that can alter it)
_SINCE = {"two_phase": (140000, 180000), "failover": (170000, 170000)}


@dataclass(frozen=True)
class Wanted:
    """A slot as asked for. None: as it is, or the server's default."""

    name: str
    logical: bool = False
    reserve: bool = False
    plugin: str = "test_decoding"
    database: str = "postgres"
    two_phase: bool | None = None
    failover: bool | None = None

    def flags(self) -> dict[str, bool]:
        """The flags that were given."""
        given = {"two_phase": self.two_phase, "failover": self.failover}
        return {name: value for name, value in given.items() if value is not None}


def check(wanted: Wanted, version: int) -> None:
    """What can be said without looking at the slot."""
    problem = None
    if not re.fullmatch(r"[a-z0-9_]{1,63}", wanted.name):
        problem = f"{wanted.name!r} is no name for a slot: up to 63 of a-z, 0-9 and _ are allowed"
    elif wanted.logical and wanted.reserve:
        problem = "Module parameters immediately_reserve and slot_type=logical are mutually exclusive"
    elif wanted.flags() and not wanted.logical:
        problem = f"{', '.join(wanted.flags())} is for logical slots only"
    for name in wanted.flags():
        if version < _SINCE[name][0]:
            problem = f"{name} of a slot is supported by PostgreSQL {_SINCE[name][0] // 10000} or greater"
    if problem:
        raise CrossoverError(problem, code="bad_value", object=wanted.name, untouched="nothing was changed")


def plan(wanted: Wanted, actual: Mapping[str, Any] | None, version: int) -> list[Statement]:
    """List the statements. Those that alter a slot are replication commands, see :func:`run`."""
    check(wanted, version)
    if actual is None:
        return [_create(wanted)]
    kind = "logical" if wanted.logical else "physical"
    differing = {"type": (actual["type"], kind)}
    if wanted.logical and actual["type"] == kind:
        differing["output plugin"] = (actual["plugin"], wanted.plugin)
        differing["database"] = (actual["database"], wanted.database)
    for what, (there, asked) in differing.items():
        if there != asked:
            raise CrossoverError(
                f"the slot {wanted.name} exists already, but its {what} is {there}, and {asked} was asked for",
                code="other_slot",
                object=wanted.name,
                untouched="nothing was changed",
                hint="use another name, or drop the slot first if nobody needs what it keeps",
            )
    lines = []
    for name, value in wanted.flags().items():
        if actual[name] == value:
            continue
        if version < _SINCE[name][1]:
            raise CrossoverError(
                f"{name} of a slot that exists can be changed by PostgreSQL {_SINCE[name][1] // 10000} or greater",
                code="not_alterable",
                object=wanted.name,
                untouched="nothing was changed",
            )
        lines.append(f"ALTER_REPLICATION_SLOT {wanted.name} ({name.upper()} {'true' if value else 'false'})")
    return [Statement(line, line) for line in lines]


def _create(wanted: Wanted) -> Statement:
    name = quote_literal(wanted.name)
    if not wanted.logical:
        line = f"SELECT pg_create_physical_replication_slot({name}, {'true' if wanted.reserve else 'false'})"
    else:
        flags = "".join(f", {flag.replace('_', '')} => true" for flag, value in wanted.flags().items() if value)
        line = f"SELECT pg_create_logical_replication_slot({name}, {quote_literal(wanted.plugin)}{flags})"
    return Statement(line, line)


def drop(name: str) -> list[Statement]:
    """List the statement that drops it."""
    line = f"SELECT pg_drop_replication_slot({quote_literal(name)})"
    return [Statement(line, line)]


def run(conn: Any, login: Login, statements: list[Statement], doing: str) -> None:
    """Run the plan: SQL in this session, replication commands in one that speaks their protocol."""
    for statement in statements:
        if statement.sql.startswith("SELECT"):
            try:
                apply(conn, login, [statement], doing)
            except CrossoverError as exc:
                if exc.sqlstate == "57014" and (blockers := _open_transactions(conn)):
                    exc.hint = f"it waits for transactions that are open: {blockers}; end them, or raise timeout"
                raise
            continue
        walsender = connect(
            login.at(connect_params={**login.connect_params, "replication": "database"}, session_role=""),
            search_path=None,
        )
        with walsender:
            apply(walsender, login, [statement], doing, walsender=True)


def _open_transactions(conn: Any) -> str:
    rows = conn.execute(
        """SELECT 'pid ' || pid || ' (' || coalesce(usename, '?') || ')' AS who,
                  extract(epoch FROM clock_timestamp() - xact_start)::int AS age
           FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
           UNION ALL SELECT 'prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared)::int
           FROM pg_prepared_xacts ORDER BY age DESC LIMIT 3"""
    )
    return ", ".join(f"{row['who']} since {row['age']} s" for row in rows)


def shown(actual: Mapping[str, Any] | None) -> dict[str, Any]:
    """For results: LSNs as text, and what does not move by itself first."""
    return {key: str(value) if isinstance(value, Lsn) else value for key, value in (actual or {}).items()}


def settled(actual: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """For the diff: only what does not move by itself."""
    keys = ("name", "type", "plugin", "database", "two_phase", "failover")
    return {key: actual[key] for key in keys} if actual else None


def predicted(wanted: Wanted, actual: Mapping[str, Any] | None) -> dict[str, Any]:
    """What :func:`settled` would return after the plan."""
    new = {
        "name": wanted.name,
        "type": "physical",
        "plugin": None,
        "database": None,
        "two_phase": False,
        "failover": False,
    }
    if wanted.logical:
        new.update(type="logical", plugin=wanted.plugin, database=wanted.database)
    return {**(settled(actual) or new), **wanted.flags()}
