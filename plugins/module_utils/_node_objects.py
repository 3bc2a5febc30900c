# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, database and extensions of a node, as statements for psql (private to the collection).

A password goes to the server as its SCRAM secret (RFC 5803) only, so that no log and no statistics show it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata
from typing import Any, Iterable, Mapping

from ._pg_sql import quote_ident, quote_literal

_SECRET = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$[^:]+:.+\Z")
_ITERATIONS = 4096  # PostgreSQL's default
_FLAGS = {"superuser": "SUPERUSER", "replication": "REPLICATION", "bypassrls": "BYPASSRLS"}


def scram_secret(password: str, salt: bytes | None = None, iterations: int = _ITERATIONS) -> str:
    """What PostgreSQL keeps of a password (RFC 5802, 5803)."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    shown = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f"SCRAM-SHA-256${iterations}:{shown[0]}${shown[1]}:{shown[2]}"


def saslprep(password: str) -> str:
    """RFC 4013 as PostgreSQL applies it: what it does not allow is used as it is."""
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in password if not stringprep.in_table_b1(char)
    )
    found = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    forbidden = (
        stringprep.in_table_a1, stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3,
        stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7,
        stringprep.in_table_c8, stringprep.in_table_c9,
    )  # fmt: skip
    if not found or any(test(char) for char in found for test in forbidden):
        return password
    right = [stringprep.in_table_d1(char) for char in found]
    if any(right) and (any(map(stringprep.in_table_d2, found)) or not (right[0] and right[-1])):
        return password
    return found


def is_of(secret: str | None, password: str) -> bool:
    """Whether a stored secret is that password's; the password may be given as a secret itself."""
    match = _SECRET.match(secret or "")
    if secret is None or not match:
        return False
    if _SECRET.match(password):
        return secret == password
    return scram_secret(password, base64.b64decode(match.group(2)), int(match.group(1))) == secret


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
    if password and not is_of(have_flags.get("secret"), password):
        secret = password if _SECRET.match(password) else scram_secret(password)
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
