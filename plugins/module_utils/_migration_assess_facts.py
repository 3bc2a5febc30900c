# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the assessment knows of both sides (private to the collection). Plain values, so that rules need no database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

from ._migration_names import Names
from ._migration_sequences_choice import Choice
from ._pg_catalog import Table
from ._pg_sql import quote_ident


@dataclass(frozen=True)
class Slot:
    """One replication slot of a server, whoever made it."""

    name: str
    active: bool
    wal_status: str | None


@dataclass(frozen=True)
class Extension:
    """What a server offers of one extension."""

    installed: str | None
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Collation:
    """The library's version of one collation."""

    provider: str
    version: str | None


@dataclass(frozen=True)
class Server:
    """One side."""

    side: str  # source or node
    version: int
    version_text: str = ""
    database: str = ""
    user: str = ""
    identity: tuple[str, ...] = ()  # system identifier, start time, database: the same on both sides is one database
    service: str = ""  # aurora, rds, or nothing known
    pooled: bool = False
    in_recovery: bool = False
    superuser: bool = False
    bypassrls: bool = False
    createrole: bool = False
    may_create: bool = True  # CREATE on the database
    sees_activity: bool = True  # pg_read_all_stats
    reads_passwords: bool = False
    encoding: str = ""
    locale: tuple[str, ...] = ()  # provider, collate, ctype
    collation_version: str | None = None  # recorded when the database was made
    collation_actual: str | None = None  # of the library now
    collations: Mapping[str, Collation] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    slots: tuple[Slot, ...] = ()
    wal_senders: int = 0
    logical_workers: int = 0
    background_workers: int = 0
    origins: int = 0
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    access_methods: frozenset[str] = frozenset()
    publications: Mapping[str, bool] = field(default_factory=dict)  # name -> for all tables
    subscriptions: tuple[str, ...] = ()  # of this database
    clock: float = 0.0  # seconds ahead of the runner
    clock_error: float = 0.0
    label: str = ""  # by the inventory
    spock_node: str | None = None
    same_ids: tuple[tuple[str, int, str], ...] = ()  # node, its id, the replication origin of that number

    @property
    def name(self) -> str:
        """For sentences."""
        return self.label or self.side

    def number(self, name: str) -> int | None:
        """A setting as a number, in the unit of pg_settings; None where the server does not know or show it."""
        value = self.settings.get(name)
        return None if value is None else int(value)

    @property
    def spock(self) -> str | None:
        """The version of Spock that is installed or can be."""
        found = self.extensions.get("spock")
        return (found.installed or max(found.versions, key=version_key, default=None)) if found else None


def version_key(text: str) -> tuple[tuple[int, str], ...]:
    """Orders extension versions: 1.10 after 1.9."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in text.replace("-", ".").split("."))


@dataclass(frozen=True)
class Index:
    """A unique index or an exclusion constraint's."""

    name: str
    primary: bool
    immediate: bool
    partial: bool
    expression: bool
    nullable: bool
    exclusion: bool

    @property
    def identifies(self) -> bool:
        """Whether REPLICA IDENTITY USING INDEX accepts it."""
        return self.immediate and not (self.partial or self.expression or self.nullable or self.exclusion)


@dataclass(frozen=True)
class TableFacts:
    """A table of the source, with what the catalogue's ``Table`` does not tell."""

    table: Table
    owned: bool = True  # the login has the owner's privileges
    becomes_owner: bool = True  # the login may SET ROLE to the owner
    readable: bool = True
    rows_hidden: bool = False  # row-level security applies to the login
    forced_security: bool = False
    access_method: str = "heap"
    updates: int = 0
    deletes: int = 0
    indexes: tuple[Index, ...] = ()
    narrow_key: tuple[str, ...] = ()  # columns of the primary key of type smallint or integer
    generated: tuple[str, ...] = ()
    replica_triggers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """schema.name, quoted where needed."""
        return self.table.full_name


@dataclass(frozen=True)
class SequenceFacts:
    """A sequence of the source."""

    name: str
    owner: str
    last_value: int | None
    minimum: int
    maximum: int
    increment: int
    cycle: bool
    readable: bool = True
    settable: bool = True
    column: str | None = None
    column_type: str | None = None

    @property
    def used(self) -> float:
        """The part of its range that is used up, 0 to 1; a narrower column ends the range earlier."""
        if self.last_value is None or self.cycle:
            return 0.0
        low, high = {"smallint": (-(2**15), 2**15 - 1), "integer": (-(2**31), 2**31 - 1)}.get(
            self.column_type or "", (self.minimum, self.maximum)
        )
        low, high = max(low, self.minimum), min(high, self.maximum)
        done = self.last_value - low if self.increment > 0 else high - self.last_value
        return (done + 1) / max(1, high - low + 1)


@dataclass(frozen=True)
class Session:
    """A client of the source, or one of its open transactions."""

    pid: int
    user: str
    application: str
    address: str
    age: float = 0.0  # of its transaction, seconds
    has_xid: bool = False

    @property
    def name(self) -> str:
        """user/application@address."""
        return f"{self.user}/{self.application or '-'}@{self.address or 'local'}"


@dataclass(frozen=True)
class Prepared:
    """A transaction prepared for two-phase commit."""

    gid: str
    owner: str
    age: float


@dataclass(frozen=True)
class RouteFault:
    """Why a part of the route is not ready."""

    code: str
    name: str
    message: str
    hint: str


@dataclass(frozen=True)
class Probes:
    """What was tried, and how it failed. None: it worked, or was not tried because something else stood in the way."""

    replication: str | None = None  # a replication connection to the source
    subscribe_source: str | None = None  # CREATE SUBSCRIPTION on the source, rolled back
    subscribe_node: str | None = None
    node_to_source: str | None = None  # the node's own connection to the source
    node_to_source_tried: bool = True
    replica_role: str | None = None  # session_replication_role on the source


@dataclass(frozen=True)
class Facts:
    """Everything, read once."""

    source: Server
    node: Server
    tables: tuple[TableFacts, ...] = ()
    excluded: frozenset[str] = frozenset()
    sequences: tuple[SequenceFacts, ...] = ()
    unusable_schemas: tuple[str, ...] = ()
    large_objects: int = 0
    large_object_bytes: int = 0
    unreadable_large_objects: tuple[tuple[int, str], ...] = ()  # OID and owner
    foreign_tables: tuple[str, ...] = ()
    materialised_views: tuple[str, ...] = ()
    temporary_tables: int = 0
    inherited: tuple[str, ...] = ()
    foreign_keys: tuple[tuple[str, str, str], ...] = ()  # name, table, referenced table
    event_triggers: tuple[str, ...] = ()
    used_collations: frozenset[str] = frozenset()
    login_roles: tuple[str, ...] = ()
    other_databases: tuple[str, ...] = ()
    transactions: tuple[Session, ...] = ()
    prepared: tuple[Prepared, ...] = ()
    clients: tuple[Session, ...] = ()
    pooled_pids: frozenset[int] = frozenset()
    advisory_locks: int = 0
    route_faults: tuple[RouteFault, ...] = ()
    peers: tuple[Server, ...] = ()  # the other nodes, where they were read
    counters: tuple[tuple[str, str], ...] = ()  # table and column
    notifying: tuple[str, ...] = ()  # functions
    node_objects: tuple[str, ...] = ()  # relations and functions on the node within the scope
    control_row: bool = False
    phases: frozenset[str] = frozenset()  # that this migration's ledger knows
    node_is_ours: bool = False  # what is on the node came by prepare
    probes: Probes = Probes()


@dataclass(frozen=True)
class Wanted:
    """What the migration is asked to be."""

    name: str
    names: Names
    nodes: int = 1  # that subscribe to the source
    slots: frozenset[str] = frozenset()  # theirs
    phases: frozenset[str] = frozenset()  # that have run, where another node's ledger knows it
    way_back: bool = True
    large_objects: str = "refuse"  # or skip, or copy
    unlogged: str = "refuse"
    fence_copy_budget: float = 0.5  # seconds of the pause
    route: str = "none"
    large_table_bytes: int = 100 * 1024**3
    sequences: Choice = field(default_factory=Choice)


def grant(role: str, to: str) -> str:
    """GRANT role TO login, as a person would type it."""
    return f"GRANT {quote_ident(role)} TO {quote_ident(to)}"
