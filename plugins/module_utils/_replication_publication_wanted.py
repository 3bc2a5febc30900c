# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publications: what is asked for (private to the collection)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._errors import CrossoverError
from ._pg_sql import split_name

OPERATIONS = ("insert", "update", "delete", "truncate")
# parameter -> (column of pg_publication, first version)
PARAMETERS = {
    "publish": ("", 100000),
    "publish_via_partition_root": ("pubviaroot", 130000),
    "publish_generated_columns": ("pubgencols", 180000),
}
TRUE, FALSE = ("true", "on", "yes", "1", "t", "y"), ("false", "off", "no", "0", "f", "n")

Name = tuple[str, str]  # schema, table


@dataclass(frozen=True)
class Member:
    """One table of a publication. ``columns`` None: all of them, also those to come."""

    columns: tuple[str, ...] | None = None
    filter: str | None = None  # with its parentheses, without WHERE


@dataclass(frozen=True)
class Wanted:
    """A publication as asked for. None: leave it as it is."""

    name: str
    members: Mapping[Name, Member] | None = None
    by_columns: bool = False  # asked for with O(columns)
    schemas: tuple[str, ...] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    comment: str | None = None


def table_name(text: str) -> Name:
    """``orders`` is ``public.orders``, as in community.postgresql."""
    parts = split_name(text.strip())
    if len(parts) > 2:
        raise CrossoverError(f"{text!r} has too many parts: schema.table is expected", code="bad_name")
    return ("public", parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def row_filter(text: str) -> str | None:
    """The expression of a row filter in one pair of parentheses, without WHERE; None when it is empty."""
    text = text.strip()
    if text[:5].lower() == "where":
        text = text[5:].strip()
    if not text:
        return None
    return text if _is_enclosed(text) else f"({text})"


def _is_enclosed(text: str) -> bool:
    """Whether the first parenthesis closes at the very end."""
    depth, quote = 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return at == len(text) - 1 and text[0] == "("
        if depth == 0 and not quote and at == 0:
            return False
    return False


def parameter_text(name: str, value: Any) -> str:
    """A parameter as it is written between quotes; an unknown name or value is an error before anything runs."""
    if name not in PARAMETERS:
        raise CrossoverError(
            f"parameters has {name!r}, which no publication has",
            code="unknown_parameter",
            untouched="nothing was changed",
            hint=f"known are {', '.join(PARAMETERS)}",
        )
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if name == "publish" and (wrong := set(operations(text)) - set(OPERATIONS)):
        raise CrossoverError(
            f"publish has {', '.join(sorted(wrong))}, which is no operation",
            code="bad_value",
            untouched="nothing was changed",
            hint=f"known are {', '.join(OPERATIONS)}",
        )
    if name == "publish_via_partition_root" and text.lower() not in TRUE + FALSE:
        raise CrossoverError(f"{name} must be true or false, not {text!r}", code="bad_value")
    return text


def operations(text: str) -> tuple[str, ...]:
    """``insert, update`` as a tuple."""
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())
