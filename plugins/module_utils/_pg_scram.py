# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL keeps of a password (private to the collection): RFC 5802, 5803."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata

VERIFIER = re.compile(r"(SCRAM-SHA-256\$\d+:[^$]+\$[^:]+:.+|md5[0-9a-f]{32})\Z")
_ITERATIONS = 4096  # PostgreSQL's default


def scram_secret(password: str, salt: bytes | None = None, iterations: int = _ITERATIONS) -> str:
    """The secret that the server stores; a password that is sent as this never shows in a log."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", _saslprep(password).encode(), salt, iterations)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    shown = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f"SCRAM-SHA-256${iterations}:{shown[0]}${shown[1]}:{shown[2]}"


def matches(stored: str, role: str, given: str) -> bool:
    """Whether ``given``, a password or a hash, is what the server stores for this role."""
    if stored == given:
        return True
    if VERIFIER.match(given):
        return False
    if stored.startswith("md5"):
        digest = hashlib.md5((given + role).encode(), usedforsecurity=False).hexdigest()
        return hmac.compare_digest(stored, f"md5{digest}")
    found = re.match(r"SCRAM-SHA-256\$(\d+):([^$]+)\$", stored)
    if not found:
        return False
    return hmac.compare_digest(stored, scram_secret(given, base64.b64decode(found[2]), int(found[1])))


def _saslprep(password: str) -> str:
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
