# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, database and extensions of a node, as statements for psql (private to the collection).

A password goes to the server as its SCRAM secret (RFC 5803) only, so that no log and no statistics show it.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping

from ._pg_scram import VERIFIER, matches, scram_secret
from ._pg_sql import quote_ident, quote_literal

_FLAGS = {"superuser": "SUPERUSER", "replication": "REPLICATION", "bypassrls": "BYPASSRLS"}


def server_statements(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Roles and the database. ``state``: roles by name, names of databases."""
    found = []
    for role in wanted["roles"]:
        found += _role(role, (state.get("roles") or {}).get(role["name"]))
    database = wanted["database"]
    if database["name"] not in (state.get("databases") or []):
        options = ["TEMPLATE template0", f"ENCODING {quote_literal(database['encoding'])}"]
        if database.get("locale"):
            options += [f"{word} {quote_literal(database['locale'])}" for word in ("LC_COLLATE", "LC_CTYPE")]
        found.append(f"CREATE DATABASE {quote_ident(database['name'])} {' '.join(options)}")
    return found


def _role(role: Mapping[str, Any], have: Mapping[str, Any] | None) -> list[str]:
    """A role is given what it lacks; nothing is taken from it."""
    name, words = quote_ident(role["name"]), []
    have_flags = have or {}
    if not have_flags.get("login"):
        words.append("LOGIN")
    words += [word for flag, word in _FLAGS.items() if role.get(flag) and not have_flags.get(flag)]
    password = role.get("password") or ""
    if password and not matches(have_flags.get("secret") or "", role["name"], password):
        secret = password if VERIFIER.match(password) else scram_secret(password)
        words.append(f"PASSWORD {quote_literal(secret)}")
    if have is None:
        return [f"CREATE ROLE {name} {' '.join(words)}"]
    return [f"ALTER ROLE {name} {' '.join(words)}"] if words else []


def database_statements(installed: Iterable[str], available: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Extensions in the node's database, of those that the server has."""
    missing = [name for name in wanted if name in set(available) and name not in set(installed)]
    return [f"CREATE EXTENSION {quote_ident(name)} CASCADE" for name in missing]


def shown(statements: Iterable[str]) -> list[str]:
    """Without secrets."""
    return [re.sub(r"PASSWORD E?'[^']*'", "PASSWORD '********'", text) for text in statements]
