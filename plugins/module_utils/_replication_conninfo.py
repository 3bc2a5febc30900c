# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection strings of subscriptions: written, read, compared, shown without secrets (private to the collection)."""

from __future__ import annotations

import re
from typing import Any, Mapping

from ._pg_connect import driver
from ._pg_sql import HIDDEN

SECRETS = ("password", "sslpassword")
_PLAIN = re.compile(r"[^\s'\\]+\Z")


def wanted(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Connection parameters as libpq takes them: strings, in the order given; those without a value are left out."""
    return {str(k): str(v).lower() if isinstance(v, bool) else str(v) for k, v in parameters.items() if v is not None}


def write(parameters: Mapping[str, str], hide: bool = False) -> str:
    """``host=a port=5432 password='p w'``; a value is quoted only where libpq needs it."""
    return " ".join(f"{k}={HIDDEN if hide and k in SECRETS else _quote(v)}" for k, v in parameters.items())


def _quote(value: str) -> str:
    if _PLAIN.match(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def read(text: str | None) -> dict[str, str] | None:
    """A stored connection string, key=value or URI; None when it is not readable, or not understood by this libpq."""
    if text is None:
        return None
    driver()
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return {k: str(v) for k, v in conninfo_to_dict(text).items() if v is not None}
    except ProgrammingError:
        return None


def shown(parameters: Mapping[str, str] | None) -> dict[str, Any]:
    """For results: numbers as numbers, secrets hidden; empty when it could not be read."""
    found = {k: HIDDEN if k in SECRETS else v for k, v in (parameters or {}).items()}
    return {k: int(v) if v.isascii() and v.isdigit() else v for k, v in found.items()}


def secrets(*parameters: Mapping[str, str] | None) -> list[str]:
    """The secret values in them."""
    return [p[key] for p in parameters if p for key in SECRETS if p.get(key)]
