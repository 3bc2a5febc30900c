# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions on a node: their DDL stays there, and so do the passwords (private to the collection)."""

from __future__ import annotations

from typing import Any

from ._pg_connect import LOCAL, set_session
from ._replication_apply import keep_quiet


def local_only(conn: Any) -> None:
    """Nothing that this session does is replicated as DDL. Sessions of ``Login.of`` are so from the start."""
    set_session(conn, LOCAL)


def quietly(conn: Any) -> None:
    """Spock's messages may quote a DSN with its password: none of this session goes to the log."""
    keep_quiet(conn, log_min_messages="fatal")
