# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of CREATE and ALTER SUBSCRIPTION, PostgreSQL 14 to 18 (private to the collection)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, TypeAlias

from ._errors import CrossoverError
from ._pg_lsn import Lsn
from ._pg_sql import quote_literal

TRUE, FALSE = ("true", "on", "yes", "1", "t", "y"), ("false", "off", "no", "0", "f", "n")
NEWEST_KNOWN = 190000  # from here on an unknown parameter is PostgreSQL's to judge
NEVER = 10**6


@dataclass(frozen=True)
class Option:
    """One parameter. ``column`` is where pg_subscription keeps it; without one it only says how to create."""

    name: str
    column: str = ""
    kind: str = "bool"  # bool, text, streaming, two_phase, slot
    since: int = 100000
    alter_since: int = 100000
    only_disabled: bool = False  # ALTER wants the subscription disabled and its worker gone


# https://www.postgresql.org/docs/18/sql-createsubscription.html, …/sql-altersubscription.html and those of 14 to 17
OPTIONS = {
    option.name: option
    for option in (
        Option("connect"),
        Option("create_slot"),
        Option("copy_data"),
        Option("enabled", "subenabled"),
        Option("slot_name", "subslotname", "slot"),
        Option("synchronous_commit", "subsynccommit", "text"),
        Option("binary", "subbinary", since=140000),
        Option("streaming", "substream", "streaming", since=140000),
        Option("two_phase", "subtwophasestate", "two_phase", 150000, alter_since=180000, only_disabled=True),
        Option("disable_on_error", "subdisableonerr", since=150000),
        Option("password_required", "subpasswordrequired", since=160000),
        Option("run_as_owner", "subrunasowner", since=160000),
        Option("origin", "suborigin", "text", since=160000),
        Option("failover", "subfailover", since=170000, only_disabled=True),
    )
}
CREATE_ONLY = tuple(name for name, option in OPTIONS.items() if not option.column)

Value: TypeAlias = "bool | str | None"


def check(subsparams: Mapping[str, Any], version: int) -> dict[str, Value]:
    """The parameters as values that compare with what is stored. Unknown or too new ones are errors."""
    return {name: _value(name, given, version) for name, given in subsparams.items()}


def _value(name: str, given: Any, version: int) -> Value:
    option = OPTIONS.get(name)
    if option is None:
        if version >= NEWEST_KNOWN:
            return given if isinstance(given, bool) else str(given)
        raise CrossoverError(
            f"subsparams has {name!r}, which no subscription has",
            code="unknown_parameter",
            untouched="nothing was changed",
            hint=f"known are {', '.join(OPTIONS)}",
        )
    if version < option.since:
        raise CrossoverError(
            f"the parameter {name} of a subscription is supported by PostgreSQL {option.since // 10000} or greater",
            code="too_old",
            untouched="nothing was changed",
        )
    if option.kind == "slot":
        return None if given is None or str(given).lower() == "none" else str(given)
    word = str(given).lower()
    if option.kind == "text":
        return str(given) if not isinstance(given, bool) else word
    if option.kind == "streaming" and word == "parallel":
        return "parallel"
    if word not in TRUE + FALSE:
        raise CrossoverError(
            f"the parameter {name} of a subscription must be true or false, not {given!r}",
            code="bad_value",
            untouched="nothing was changed",
        )
    return word in TRUE


def stored(row: Mapping[str, Any]) -> dict[str, Value]:
    """The same from a row of pg_subscription, for the columns that could be read."""
    found: dict[str, Value] = {}
    for option in OPTIONS.values():
        if not option.column or option.column not in row:
            continue
        raw = row[option.column]
        if option.kind == "streaming" and isinstance(raw, str):  # a character since 16, boolean before
            raw = {"f": False, "t": True, "p": "parallel"}[raw]
        elif option.kind == "two_phase":
            raw = raw != "d"  # p: wanted, and on as soon as every table is in sync
        found[option.name] = raw
    return found


def same(name: str, one: Value, other: Value) -> bool:
    """Whether two values mean the same: ``on`` is ``true`` for a setting kept as text."""
    return _meaning(name, one) == _meaning(name, other)


def _meaning(name: str, value: Value) -> Value:
    if name == "synchronous_commit" and isinstance(value, str):
        word = value.lower()
        return True if word in TRUE else False if word in FALSE else word
    return value.lower() if name == "origin" and isinstance(value, str) else value


def shown(name: str, value: Value) -> Value:
    """For results: synchronous_commit as a boolean where it is one."""
    return _meaning(name, value) if name == "synchronous_commit" else value


def write(name: str, value: Value) -> str:
    """``name = value`` as community.postgresql writes it, quoted only where SQL needs it."""
    if value is None:
        return f"{name} = NONE"
    if isinstance(value, bool):
        return f"{name} = {'true' if value else 'false'}"
    plain = re.match(r"([a-z_][a-z0-9_]*|[0-9]+)\Z", value)
    return f"{name} = {value if plain else quote_literal(value)}"


def alterable(name: str, version: int) -> None:
    """Raise where this version cannot change the parameter of a subscription that exists."""
    option = OPTIONS.get(name)
    if option and version < option.alter_since:
        raise CrossoverError(
            f"{name} of an existing subscription can be changed by PostgreSQL {option.alter_since // 10000} or greater",
            code="not_alterable",
            untouched="nothing was changed",
            hint="drop the subscription and create it anew, or leave the parameter out",
        )


def skip_lsn(text: str) -> Lsn | None:
    """The LSN of O(skip_lsn), None for ``none``."""
    if text.lower() == "none":
        return None
    try:
        return Lsn.parse(text)
    except ValueError:
        raise CrossoverError(
            f"skip_lsn is {text!r}, which is no LSN",
            code="bad_value",
            untouched="nothing was changed",
            hint="the server's log says 'finished at 0/14C0378' where apply failed: take that",
        ) from None
