# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spock's subscriptions: read, plan (private to the collection)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _replication_conninfo as conninfo
from ._errors import CrossoverError
from ._pg_connect import Login
from ._pg_sql import Statement, quote_literal

SETS = ("default", "default_insert_only", "ddl_sql")  # what sub_create takes by default
REPLICATING = "replicating"

_SUBSCRIPTIONS = """
SELECT s.sub_name AS name, s.sub_id::int8 AS id, o.node_name AS provider, i.if_name AS interface, i.if_dsn AS dsn,
       s.sub_enabled AS enabled, s.sub_slot_name AS slot, s.sub_replication_sets AS sets,
       s.sub_forward_origins AS forward_origins, extract(epoch FROM s.sub_apply_delay)::float8 AS apply_delay,
       s.sub_force_text_transfer AS force_text_transfer, s.sub_skip_schema AS skip_schema, s.sub_skip_lsn::text AS skip_lsn,
       (SELECT status FROM spock.sub_show_status(s.sub_name)) AS status
FROM spock.subscription s JOIN spock.node o ON o.node_id = s.sub_origin JOIN spock.node_interface i ON i.if_id = s.sub_origin_if
ORDER BY 1
"""
# r: ready, y: in sync (a table that was copied)
_WAITING = """
SELECT coalesce(sync_nspname || '.' || sync_relname, 'the whole database') AS name
FROM spock.local_sync_status WHERE sync_subid = %s::int8::oid AND sync_status NOT IN ('r', 'y') ORDER BY 1
"""
# what can be changed later, and by which key of Spock 6's sub_alter_options
_ALTERABLE = ("forward_origins", "apply_delay", "skip_schema")


@dataclass(frozen=True)
class SpockSubscription:
    """A subscription as it is."""

    name: str
    id: int
    provider: str  # the node's name
    interface: str
    dsn: Mapping[str, str] | None  # None: what is stored cannot be read
    enabled: bool
    status: str
    slot: str  # on the provider; the replication origin here has the same name
    sets: tuple[str, ...]
    forward_origins: tuple[str, ...]
    apply_delay: float  # seconds
    force_text_transfer: bool
    skip_schema: tuple[str, ...]
    skip_lsn: str

    def shown(self) -> dict[str, Any]:
        """For results and diffs, without secrets."""
        return {
            **{key: value for key, value in vars(self).items() if key not in ("id", "dsn")},
            "connparams": conninfo.shown(self.dsn),
            "sets": sorted(self.sets),
            "forward_origins": sorted(self.forward_origins),
            "skip_schema": sorted(self.skip_schema),
        }


@dataclass(frozen=True)
class Wanted:
    """A subscription as asked for. None: as it is, or Spock's default for a new one."""

    name: str
    dsn: Mapping[str, str] | None = None
    sets: tuple[str, ...] | None = None
    enabled: bool | None = None
    forward_origins: tuple[str, ...] | None = None
    apply_delay: float | None = None
    force_text_transfer: bool | None = None
    skip_schema: tuple[str, ...] | None = None
    skip_lsn: str | None = None
    structure: bool = False
    data: bool = False


def subscriptions(conn: Any) -> dict[str, SpockSubscription]:
    """Every subscription of this database, by name."""
    found = {}
    for row in conn.execute(_SUBSCRIPTIONS):
        lists = {key: tuple(row[key] or ()) for key in ("sets", "forward_origins", "skip_schema")}
        found[row["name"]] = SpockSubscription(**{**row, "dsn": conninfo.read(row["dsn"]), **lists})
    return found


def waiting(conn: Any, subscription: SpockSubscription) -> list[str]:
    """The tables whose initial copy is not done."""
    return [row["name"] for row in conn.execute(_WAITING, [subscription.id])]


# -- plans -----------------------------------------------------------------------------------------------------------


def plan(want: Wanted, actual: SpockSubscription | None, major: int, login: Login) -> list[Statement]:
    """From what is there to what is wanted. No statement may run in a transaction block with others."""
    if actual is None:
        return [_create(want)]
    steps = _connection(want, actual)
    name = quote_literal(want.name)
    options = _options(want, actual)
    if options and major < 6:
        raise _fixed(
            want, actual, list(options), login, "Spock 5 cannot change that; make it anew, or update to Spock 6"
        )
    if want.force_text_transfer is not None and want.force_text_transfer != actual.force_text_transfer:
        raise _fixed(want, actual, ["force_text_transfer"], login, "Spock cannot change that; make it anew")
    if options:
        steps.append(
            Statement.of(f"SELECT spock.sub_alter_options({name}, {quote_literal(json.dumps(options))}::jsonb)")
        )
    if want.sets is not None:
        for added in sorted(set(want.sets) - set(actual.sets)):
            steps.append(Statement.of(f"SELECT spock.sub_add_repset({name}, {quote_literal(added)})"))
        for gone in sorted(set(actual.sets) - set(want.sets)):
            steps.append(Statement.of(f"SELECT spock.sub_remove_repset({name}, {quote_literal(gone)})"))
    if want.skip_lsn is not None and want.skip_lsn != actual.skip_lsn:
        steps.append(Statement.of(f"SELECT spock.sub_alter_skiplsn({name}, {quote_literal(want.skip_lsn)})"))
    if want.enabled is not None and want.enabled != actual.enabled:
        verb = "sub_enable" if want.enabled else "sub_disable"
        steps.append(Statement.of(f"SELECT spock.{verb}({name}, immediate := true)"))
    return steps


def predicted(want: Wanted, actual: SpockSubscription | None) -> dict[str, Any]:
    """What it will look like, as far as that can be known."""
    before = (
        actual.shown() if actual else {"name": want.name, "status": "unknown", "sets": sorted(SETS), "enabled": True}
    )
    known = {
        "connparams": conninfo.shown(want.dsn) if want.dsn else None,
        "sets": sorted(want.sets) if want.sets is not None else None,
        "enabled": want.enabled,
        "forward_origins": list(want.forward_origins) if want.forward_origins is not None else None,
        "apply_delay": want.apply_delay,
        "skip_schema": sorted(want.skip_schema) if want.skip_schema is not None else None,
        "skip_lsn": want.skip_lsn,
    }
    return {**before, **{key: value for key, value in known.items() if value is not None}}


def drop(name: str) -> Statement:
    """Drop it, with the slot on the provider as far as that answers."""
    return Statement.of(f"SELECT spock.sub_drop({quote_literal(name)})")


def resync(name: str, table: str, truncate: bool) -> Statement:
    """Copy a table again from the provider."""
    arguments = f"{quote_literal(name)}, {quote_literal(table)}::regclass, truncate := {str(truncate).lower()}"
    return Statement.of(f"SELECT spock.sub_resync_table({arguments})")


def _create(want: Wanted) -> Statement:
    dsn = want.dsn or {}
    # Spock's defaults are written out where they matter: neither structure nor rows unless asked for, nothing forwarded
    arguments = [quote_literal(want.name), quote_literal(conninfo.write(dsn))]
    arguments.append(f"replication_sets := {_array(want.sets if want.sets is not None else SETS)}")
    arguments.append(f"synchronize_structure := {str(want.structure).lower()}")
    arguments.append(f"synchronize_data := {str(want.data).lower()}")
    arguments.append(f"forward_origins := {_array(want.forward_origins or ())}")
    if want.apply_delay:
        arguments.append(f"apply_delay := '{want.apply_delay:g} seconds'")
    if want.force_text_transfer:
        arguments.append("force_text_transfer := true")
    if want.enabled is False:
        arguments.append("enabled := false")
    if want.skip_schema:
        arguments.append(f"skip_schema := {_array(want.skip_schema)}")
    return Statement.of(f"SELECT spock.sub_create({', '.join(arguments)})", tuple(conninfo.secrets(dsn)))


def _array(values: tuple[str, ...]) -> str:
    return f"ARRAY[{', '.join(quote_literal(value) for value in values)}]::text[]"


def _connection(want: Wanted, actual: SpockSubscription) -> list[Statement]:
    """Another way to the provider is another interface of it, named by what it is."""
    if want.dsn is None or want.dsn == actual.dsn:
        return []
    text = conninfo.write(want.dsn)
    name = f"{actual.provider}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    add = ", ".join(quote_literal(part) for part in (actual.provider, name, text))
    return [
        Statement.of(f"SELECT spock.node_add_interface({add})", tuple(conninfo.secrets(want.dsn))),
        Statement.of(f"SELECT spock.sub_alter_interface({quote_literal(want.name)}, {quote_literal(name)})"),
        *(
            # the one that has the provider's name is what Spock itself has made: it stays
            [
                Statement.of(
                    f"SELECT spock.node_drop_interface({quote_literal(actual.provider)}, {quote_literal(actual.interface)})"
                )
            ]
            if actual.interface != actual.provider
            else []
        ),
    ]


def _options(want: Wanted, actual: SpockSubscription) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in _ALTERABLE:
        value, there = getattr(want, key), getattr(actual, key)
        if value is None or (set(value) == set(there) if isinstance(value, tuple) else value == there):
            continue
        found[key] = list(value) if isinstance(value, tuple) else f"{value:g} seconds"
    return found


def _fixed(want: Wanted, actual: SpockSubscription, keys: list[str], login: Login, hint: str) -> CrossoverError:
    told = ", ".join(f"{key} ({getattr(actual, key)})" for key in keys)
    return CrossoverError(
        f"subscription {want.name} is there with other {told}",
        code="cannot_change",
        object=want.name,
        server=str(login),
        untouched="nothing was changed",
        hint=hint,
    )
