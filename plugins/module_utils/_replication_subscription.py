# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subscriptions: what is there, and the statements that lead to what is wanted (private to the collection)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from . import _replication_conninfo as conninfo
from . import _replication_subscription_options as options
from ._errors import CrossoverError
from ._pg_lsn import Lsn
from ._pg_sql import HIDDEN, Statement, quote_always, quote_ident, quote_literal
from ._replication_subscription_options import OPTIONS, Value


@dataclass(frozen=True)
class Subscription:
    """A subscription as it is. ``connection`` None: this login may not read it."""

    oid: int
    owner: str
    comment: str
    publications: tuple[str, ...]
    connection: Mapping[str, str] | None
    options: Mapping[str, Value]
    skip_lsn: Lsn | None = None

    @property
    def enabled(self) -> bool:
        """Whether it is enabled."""
        return bool(self.options["enabled"])


@dataclass(frozen=True)
class Wanted:
    """A subscription as asked for. None: leave it as it is."""

    name: str
    publications: tuple[str, ...] | None = None
    connection: Mapping[str, str] | None = None
    always_connection: bool = False  # set the connection also where it cannot be compared
    options: Mapping[str, Value] = field(default_factory=dict)
    owner: str | None = None
    comment: str | None = None
    skip: str | None = None


# -- what is there ---------------------------------------------------------------------------------------------------


def read(conn: Any, name: str) -> Subscription | None:
    """Read the subscription of this database, or None. A managed service hides some columns: read those one may."""
    columns = [
        row["attname"]
        for row in conn.execute(
            """SELECT attname FROM pg_attribute
               WHERE attrelid = 'pg_subscription'::regclass AND attname ~ '^(sub|oid$)'
                 AND has_column_privilege('pg_subscription', attname, 'SELECT')"""
        )
    ]
    if missing := {"oid", "subname", "subdbid", "subowner", "subenabled"} - set(columns):
        raise CrossoverError(
            f"this login may not read {', '.join(sorted(missing))} of pg_subscription",
            code="no_privilege",
            untouched="nothing was changed",
            hint="grant it SELECT on these columns",
        )
    listed = ", ".join(f"s.{column}" for column in columns if column not in ("oid", "subpublications", "subskiplsn"))
    row = conn.execute(
        f"""SELECT {listed}, s.oid::int8 AS oid, pg_get_userbyid(s.subowner) AS owner,
                   {"s.subpublications::text[]" if "subpublications" in columns else "NULL"} AS publications,
                   {"s.subskiplsn::text" if "subskiplsn" in columns else "NULL"} AS skip_lsn,
                   coalesce(obj_description(s.oid, 'pg_subscription'), '') AS comment
            FROM pg_subscription s
            WHERE s.subname = %s AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
        [name],
    ).fetchone()
    if row is None:
        return None
    return Subscription(
        oid=row["oid"],
        owner=row["owner"],
        comment=row["comment"],
        publications=tuple(row["publications"] or ()),
        connection=conninfo.read(row.get("subconninfo")),
        options=options.stored(row),
        skip_lsn=Lsn.maybe(row["skip_lsn"]) or None,
    )


# -- the plan --------------------------------------------------------------------------------------------------------


def plan(wanted: Wanted, actual: Subscription | None, version: int) -> list[Statement]:
    """List the statements that turn ``actual`` into ``wanted``. They cannot run in a transaction block."""
    lines = [_create(wanted)] if actual is None else _changes(wanted, actual, version)
    name = quote_ident(wanted.name)
    if wanted.owner and (actual is None or actual.owner != wanted.owner):
        lines.append(_plain(f"ALTER SUBSCRIPTION {name} OWNER TO {quote_always(wanted.owner)}"))
    if wanted.comment is not None and (actual.comment if actual else None) != wanted.comment:
        text = f"COMMENT ON SUBSCRIPTION {quote_always(wanted.name)} IS {quote_literal(wanted.comment)}"
        lines.append(_plain(text))
    return lines


def _plain(line: str) -> Statement:
    return Statement(line, line)


def _with_connection(before: str, connection: Mapping[str, str], after: str = "") -> Statement:
    real, hidden = (quote_literal(conninfo.write(connection, hide=hide)) for hide in (False, True))
    return Statement(f"{before} CONNECTION {real}{after}", f"{before} CONNECTION {hidden}{after}")


def _names(publications: tuple[str, ...]) -> str:
    return ", ".join(map(quote_ident, publications))


def _create(wanted: Wanted) -> Statement:
    connection, names = wanted.connection, wanted.publications
    if not connection or not names:
        raise CrossoverError(
            f"the subscription {wanted.name} does not exist, and to create it "
            f"{'publications' if connection else 'connparams'} is needed",
            code="missing_option",
            object=wanted.name,
            untouched="nothing was changed",
        )
    if wanted.skip and options.skip_lsn(wanted.skip):
        raise CrossoverError(f"the subscription {wanted.name} does not exist: skip_lsn means nothing", code="bad_value")
    pairs = ", ".join(options.write(name, value) for name, value in wanted.options.items())
    return _with_connection(
        f"CREATE SUBSCRIPTION {quote_ident(wanted.name)}",
        connection,
        f" PUBLICATION {_names(names)}{f' WITH ({pairs})' if pairs else ''}",
    )


def connection_changes(wanted: Wanted, actual: Subscription) -> bool:
    """Whether the connection has to be set. One that cannot be read counts as right unless it is always to be set."""
    if not wanted.connection:
        return False
    if actual.connection is None:
        return wanted.always_connection
    return dict(wanted.connection) != dict(actual.connection)


def _changes(wanted: Wanted, actual: Subscription, version: int) -> list[Statement]:
    alter = f"ALTER SUBSCRIPTION {quote_ident(wanted.name)}"
    lines: list[Statement] = []
    if wanted.connection and connection_changes(wanted, actual):
        lines.append(_with_connection(alter, wanted.connection))
    enable = bool(wanted.options.get("enabled", actual.enabled))
    refresh_later = False
    if wanted.publications and set(wanted.publications) != set(actual.publications):
        how = [] if wanted.options.get("copy_data", True) else ["copy_data = false"]
        if not actual.enabled:  # a disabled subscription cannot be refreshed
            refresh_later, how = enable, ["refresh = false"]
        settings = f" WITH ({', '.join(how)})" if how else ""
        lines.append(_plain(f"{alter} SET PUBLICATION {_names(wanted.publications)}{settings}"))
    lines += [_plain(f"{alter} {change}") for change in _option_changes(wanted, actual, version, enable)]
    if refresh_later:
        lines.append(refresh(wanted.name, wanted.options.get("copy_data")))
    if wanted.skip is not None and options.skip_lsn(wanted.skip) != actual.skip_lsn:
        skip = options.skip_lsn(wanted.skip)
        lines.append(_plain(f"{alter} SKIP (lsn = {'NONE' if skip is None else quote_literal(str(skip))})"))
    return lines


def _option_changes(wanted: Wanted, actual: Subscription, version: int, enable: bool) -> list[str]:
    differing: dict[str, Value] = {}
    for name, value in wanted.options.items():
        if name in options.CREATE_ONLY or name == "enabled":
            continue
        if name not in actual.options or not options.same(name, value, actual.options[name]):
            options.alterable(name, version)
            differing[name] = value
    if enable and wanted.options.get("slot_name", actual.options.get("slot_name", "")) is None:
        raise CrossoverError(
            f"the subscription {wanted.name} cannot be without a slot while it is enabled",
            code="bad_value",
            untouched="nothing was changed",
            hint="set enabled to false too",
        )
    apart = [name for name in differing if name in OPTIONS and OPTIONS[name].only_disabled]
    together = [options.write(name, value) for name, value in differing.items() if name not in apart]
    changes = [f"SET ({', '.join(together)})"] if together else []
    changes += [f"SET ({options.write(name, differing[name])})" for name in apart]
    if apart or ("slot_name" in differing and None in (differing["slot_name"], actual.options.get("slot_name"))):
        # these want it disabled; and it cannot be enabled before it has a slot
        return [*(["DISABLE"] if actual.enabled else []), *changes, *(["ENABLE"] if enable else [])]
    return [*([] if enable == actual.enabled else ["ENABLE" if enable else "DISABLE"]), *changes]


def enable(name: str) -> Statement:
    """Let it work."""
    return _plain(f"ALTER SUBSCRIPTION {quote_ident(name)} ENABLE")


def refresh(name: str, copy_data: Value = None) -> Statement:
    """Take up what the publications have now."""
    settings = "" if copy_data is None else f" WITH ({options.write('copy_data', copy_data)})"
    return _plain(f"ALTER SUBSCRIPTION {quote_ident(name)} REFRESH PUBLICATION{settings}")


def drop(name: str, cascade: bool) -> list[Statement]:
    """Drop it together with its slot on the publisher."""
    return [_plain(f"DROP SUBSCRIPTION {quote_ident(name)}{' CASCADE' if cascade else ''}")]


def detach(name: str, cascade: bool) -> list[Statement]:
    """Drop it and leave its slot where it is."""
    alter = f"ALTER SUBSCRIPTION {quote_ident(name)}"
    return [_plain(f"{alter} DISABLE"), _plain(f"{alter} SET (slot_name = NONE)"), *drop(name, cascade)]


# -- what is shown ---------------------------------------------------------------------------------------------------

_KEYS = {"synchronous_commit": "synccommit", "slot_name": "slotname"}  # as community.postgresql calls them


def shown(actual: Subscription | None) -> dict[str, Any]:
    """The state that the module returns."""
    found = actual.options if actual else {}
    state: dict[str, Any] = {
        "owner": actual.owner if actual else None,
        "enabled": found.get("enabled"),
        "synccommit": options.shown("synchronous_commit", found.get("synchronous_commit")),
        "conninfo": conninfo.shown(actual.connection) if actual else {},
        "slotname": found.get("slot_name"),
        "publications": list(actual.publications) if actual else [],
        "comment": actual.comment if actual else None,
    }
    state.update({name: value for name, value in found.items() if name not in ("enabled", *_KEYS)})
    if actual and actual.skip_lsn:
        state["skip_lsn"] = str(actual.skip_lsn)
    return state


def predicted(wanted: Wanted, actual: Subscription | None) -> dict[str, Any]:
    """What :func:`shown` would return after the plan, for the diff."""
    after = shown(actual)
    if actual is None:
        # without a connection to the publisher it begins disabled
        after.update(enabled=bool(wanted.options.get("connect", True)), slotname=wanted.name, comment="")
    if wanted.connection and (actual is None or connection_changes(wanted, actual)):
        after["conninfo"] = conninfo.shown(wanted.connection)
        if actual and conninfo.secrets(wanted.connection) != conninfo.secrets(actual.connection):
            after["conninfo"]["password"] = f"{HIDDEN} (another one)"
    if wanted.publications and (actual is None or set(wanted.publications) != set(actual.publications)):
        after["publications"] = list(wanted.publications)
    for name, value in wanted.options.items():
        if name not in options.CREATE_ONLY:
            after[_KEYS.get(name, name)] = options.shown(name, value)
    if wanted.skip is not None:
        after.pop("skip_lsn", None)
        if skip := options.skip_lsn(wanted.skip):
            after["skip_lsn"] = str(skip)
    for key in ("owner", "comment"):
        if getattr(wanted, key) is not None:
            after[key] = getattr(wanted, key)
    return after
