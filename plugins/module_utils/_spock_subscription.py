# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spock's subscriptions: read, plan (private to the collection)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import _replication_conninfo as conninfo
from ._errors import CrossoverError
from ._pg_connect import Login
from ._pg_lsn import Lsn
from ._pg_sql import Statement, quote_literal
from ._spock_node import Dsn, add_interface, drop_interface, literals

SETS = ("default", "default_insert_only", "ddl_sql")  # what sub_create takes by default
REPLICATING, DISABLED = "replicating", "disabled"

_SUBSCRIPTIONS = """
SELECT s.sub_name AS name, s.sub_id::int8 AS id, o.node_name AS provider, i.if_name AS interface,
       (SELECT json_object_agg(if_name, if_dsn) FROM spock.node_interface WHERE if_nodeid = s.sub_origin) AS interfaces,
       EXISTS (SELECT FROM spock.subscription other
               WHERE other.sub_origin_if = s.sub_origin_if AND other.sub_id <> s.sub_id) AS shared,
       s.sub_enabled AS enabled, s.sub_slot_name AS slot, s.sub_replication_sets AS sets,
       s.sub_forward_origins AS forward_origins, extract(epoch FROM s.sub_apply_delay)::float8 AS apply_delay,
       s.sub_force_text_transfer AS force_text_transfer, s.sub_skip_schema AS skip_schema,
       s.sub_skip_lsn::text AS skip_lsn, (SELECT status FROM spock.sub_show_status(s.sub_name)) AS status,
       coalesce((SELECT p.remote_lsn::text FROM pg_replication_origin_status p WHERE p.external_id = s.sub_slot_name),
                '0/0') AS applied
FROM spock.subscription s JOIN spock.node o ON o.node_id = s.sub_origin
     JOIN spock.node_interface i ON i.if_id = s.sub_origin_if
ORDER BY 1
"""
# r: ready, y: a table that was copied and is in step
_COPYING = """
SELECT coalesce(sync_nspname || '.' || sync_relname, 'the whole database') AS name
FROM spock.local_sync_status WHERE sync_subid = %s::int8::oid AND sync_status NOT IN ('r', 'y') ORDER BY 1
"""
# by the names of Spock 6's sub_alter_options; Spock 5 has no such function
_ALTERABLE = ("forward_origins", "apply_delay", "skip_schema")
_LISTS = ("sets", "forward_origins", "skip_schema")


@dataclass(frozen=True)
class SpockSubscription:
    """A subscription as it is."""

    name: str
    id: int
    provider: str  # the node's name
    interface: str  # which of the provider's is used
    interfaces: Mapping[str, Dsn | None]  # None: what is stored cannot be read
    enabled: bool
    status: str
    slot: str  # on the provider; the replication origin here has the same name
    sets: tuple[str, ...]
    forward_origins: tuple[str, ...] = ()
    apply_delay: float = 0.0  # seconds
    force_text_transfer: bool = False
    skip_schema: tuple[str, ...] = ()
    skip_lsn: str = "0/0"
    applied: str = "0/0"  # how far the provider's transactions have come: the replication origin's position
    shared: bool = False  # another subscription uses the interface too

    @property
    def dsn(self) -> Dsn | None:
        """How the provider is reached."""
        return self.interfaces.get(self.interface)

    def shown(self) -> dict[str, Any]:
        """For diffs: what stays until somebody changes it, without secrets."""
        keys = ("name", "provider", "interface", "enabled", "slot", "apply_delay", "force_text_transfer", "skip_lsn")
        return {
            **{key: getattr(self, key) for key in keys},
            **{key: sorted(getattr(self, key)) for key in _LISTS},
            "provider_dsn": conninfo.shown(self.dsn),
        }


@dataclass(frozen=True)
class Wanted:
    """A subscription as asked for. None: as it is, or Spock's default for a new one."""

    name: str
    dsn: Dsn | None = None
    sets: tuple[str, ...] | None = None
    enabled: bool | None = None
    forward_origins: tuple[str, ...] | None = None
    apply_delay: float | None = None
    force_text_transfer: bool | None = None
    skip_schema: tuple[str, ...] | None = None
    skip_lsn: str | None = None
    structure: bool = False
    data: bool = False


@dataclass
class Plan:
    """``change`` runs in one transaction; ``switch`` after it, outside of any, as Spock wants it."""

    change: list[Statement] = field(default_factory=list)
    switch: list[Statement] = field(default_factory=list)

    @property
    def steps(self) -> list[Statement]:
        """Everything."""
        return self.change + self.switch


def subscriptions(conn: Any) -> dict[str, SpockSubscription]:
    """Every subscription of this database, by name."""
    found = {}
    for row in conn.execute(_SUBSCRIPTIONS):
        lists = {key: tuple(row[key] or ()) for key in _LISTS}
        dsns = {name: conninfo.read(dsn) for name, dsn in row["interfaces"].items()}
        found[row["name"]] = SpockSubscription(**{**row, **lists, "interfaces": dsns})
    return found


def copying(conn: Any, subscription: SpockSubscription) -> list[str]:
    """The tables whose copy is not done."""
    return [row["name"] for row in conn.execute(_COPYING, [subscription.id])]


# -- plans -----------------------------------------------------------------------------------------------------------


def plan(want: Wanted, actual: SpockSubscription | None, major: int, login: Login) -> Plan:
    """From what is there to what is wanted."""
    if actual is None:
        return Plan([_create(want)])
    options = _options(want, actual)
    fixed = sorted(options) if major < 6 else []
    if want.force_text_transfer not in (None, actual.force_text_transfer):
        fixed.append("force_text_transfer")
    if fixed:
        raise CrossoverError(
            f"subscription {want.name} is there with other {' and '.join(fixed)}, which Spock {major} cannot change",
            code="cannot_change",
            object=want.name,
            server=str(login),
            untouched="nothing was changed",
            hint="leave it as it is, or drop the subscription and make it anew; that copies nothing unless told to",
        )
    name = quote_literal(want.name)
    found = Plan(_connection(want, actual))
    if options:
        text = quote_literal(json.dumps(options, sort_keys=True))
        found.change.append(Statement.of(f"SELECT spock.sub_alter_options({name}, {text}::jsonb)"))
    if want.sets is not None:
        calls = [("sub_add_repset", repset) for repset in sorted(set(want.sets) - set(actual.sets))]
        calls += [("sub_remove_repset", repset) for repset in sorted(set(actual.sets) - set(want.sets))]
        found.change += [
            Statement.of(f"SELECT spock.{call}({name}, {quote_literal(repset)})") for call, repset in calls
        ]
    if skips(want, actual):
        found.change.append(
            Statement.of(f"SELECT spock.sub_alter_skiplsn({name}, {quote_literal(want.skip_lsn or '')})")
        )
    if want.enabled not in (None, actual.enabled):
        call = "sub_enable" if want.enabled else "sub_disable"
        found.switch.append(Statement.of(f"SELECT spock.{call}({name}, immediate := true)"))
    return found


def skips(want: Wanted, actual: SpockSubscription) -> bool:
    """Whether the skip is to be set: a transaction that has been passed already is no change.

    The one that is to be skipped is named by the start of its commit. Where one fails and stops the subscription, Spock
    leaves the origin just there; one that was applied or skipped has it at the commit's end.
    """
    if want.skip_lsn is None or Lsn.parse(want.skip_lsn) == Lsn.parse(actual.skip_lsn):
        return False
    return Lsn.parse(want.skip_lsn) == Lsn.parse("0/0") or Lsn.parse(want.skip_lsn) >= Lsn.parse(actual.applied)


def predicted(want: Wanted, actual: SpockSubscription | None) -> dict[str, Any]:
    """What it will look like, as far as that can be known."""
    lists = {key: sorted(value) for key in _LISTS if (value := getattr(want, key)) is not None}
    single = {
        "provider_dsn": conninfo.shown(want.dsn) if want.dsn else None,
        "interface": interface_for(want, actual)[0] if actual and want.dsn else None,
        **{key: getattr(want, key) for key in ("enabled", "apply_delay", "force_text_transfer")},
        "skip_lsn": want.skip_lsn if actual and skips(want, actual) else None,
    }
    new = {"name": want.name, "sets": sorted(SETS), "enabled": True, "forward_origins": [], "apply_delay": 0.0}
    before = actual.shown() if actual else {**new, "force_text_transfer": False, "skip_schema": [], "skip_lsn": "0/0"}
    return {**before, **lists, **{key: value for key, value in single.items() if value is not None}}


def drop(name: str) -> Statement:
    """Drop it, and its slot on the provider if that answers."""
    return Statement.of(f"SELECT spock.sub_drop({quote_literal(name)})")


def resync(name: str, table: str, truncate: bool) -> Statement:
    """Copy a table again from the provider."""
    arguments = f"{quote_literal(name)}, {quote_literal(table)}::regclass, truncate := {str(truncate).lower()}"
    return Statement.of(f"SELECT spock.sub_resync_table({arguments})")


def interface_for(want: Wanted, actual: SpockSubscription) -> tuple[str, bool]:
    """The provider's interface with the wanted DSN, and whether it is there already."""
    if want.dsn is None or want.dsn == actual.dsn:
        return actual.interface, True
    if there := [name for name, dsn in sorted(actual.interfaces.items()) if dsn == want.dsn]:
        return there[0], True
    free = (name for number in itertools.count(2) if (name := f"{actual.provider}_{number}") not in actual.interfaces)
    return next(free), False


def _connection(want: Wanted, actual: SpockSubscription) -> list[Statement]:
    """Another way to the provider is another interface of it."""
    name, there = interface_for(want, actual)
    if name == actual.interface:
        return []
    steps = [] if there else [add_interface(actual.provider, name, want.dsn or {})]
    steps.append(Statement.of(f"SELECT spock.sub_alter_interface({quote_literal(want.name)}, {quote_literal(name)})"))
    # the one that has the provider's name is Spock's own: sub_create looks for it
    if actual.interface != actual.provider and not actual.shared:
        steps.append(drop_interface(actual.provider, actual.interface))
    return steps


def _options(want: Wanted, actual: SpockSubscription) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in _ALTERABLE:
        value, there = getattr(want, key), getattr(actual, key)
        if value is None or (sorted(value) == sorted(there) if isinstance(value, tuple) else value == there):
            continue
        found[key] = list(value) if isinstance(value, tuple) else f"{value:g} seconds"
    return found


def _create(want: Wanted) -> Statement:
    arguments = [
        f"replication_sets := {_array(want.sets if want.sets is not None else SETS)}",
        f"synchronize_structure := {str(want.structure).lower()}",
        f"synchronize_data := {str(want.data).lower()}",
        f"forward_origins := {_array(want.forward_origins or ())}",
    ]
    if want.apply_delay:
        arguments.append(f"apply_delay := '{want.apply_delay:g} seconds'")
    if want.force_text_transfer:
        arguments.append("force_text_transfer := true")
    if want.enabled is False:
        arguments.append("enabled := false")
    if want.skip_schema:
        arguments.append(f"skip_schema := {_array(want.skip_schema)}")
    start, rest = f"SELECT spock.sub_create({quote_literal(want.name)}, ", ", ".join(arguments)
    return Statement(*(f"{start}{text}, {rest})" for text in literals(want.dsn)))


def _array(values: tuple[str, ...]) -> str:
    return f"ARRAY[{', '.join(quote_literal(value) for value in values)}]::text[]"
