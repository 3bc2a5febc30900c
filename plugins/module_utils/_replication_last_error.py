# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a subscription fails, from the server's own log (private to the collection).

PostgreSQL counts the errors of a subscription (pg_stat_subscription_stats) but keeps their text only in its log. Where
the login may read that over SQL (a superuser, with logging_collector on), the last one is found there; on a managed
server it is not, and that is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterator

from ._pg_connect import driver

NOTHING = "the end of the server's log has no error of this subscription"
TAIL = 256 * 1024  # bytes of the log that are looked at
_PARTS = ("DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION")
_SEVERITY = re.compile(rf"\b(ERROR|FATAL|PANIC|LOG|WARNING|NOTICE|INFO|{'|'.join(_PARTS)}):  ")

_TARGET = re.compile(r'replication target relation "(.+?)"')


def last_error(conn: Any, name: str, oid: int) -> tuple[str | None, str]:
    """(the last error of this subscription or None, why there is none)."""
    log, why = read_log(conn)
    if log is None:
        return None, why
    found = find(log, name, oid)
    return (found, "") if found else (None, NOTHING)


def read_log(conn: Any) -> tuple[str | None, str]:
    """(the end of the server's log or None, why it cannot be read)."""
    try:
        row = conn.execute(
            """SELECT current_setting('logging_collector') = 'on' AS collected,
                      has_function_privilege('pg_read_binary_file(text, bigint, bigint, boolean)', 'EXECUTE')
                      AND has_function_privilege('pg_current_logfile(text)', 'EXECUTE') AS may"""
        ).fetchone()
        if not row["may"]:
            return None, "this login may not read the server's log"
        if not row["collected"]:
            return None, "the server does not collect its log (logging_collector): look where it writes it"
        row = conn.execute(
            """SELECT pg_read_binary_file(f.path, greatest(s.size - %(tail)s, 0), %(tail)s, true) AS tail
               FROM (SELECT pg_current_logfile('stderr') AS path) f
                    CROSS JOIN LATERAL pg_stat_file(f.path, true) s
               WHERE f.path IS NOT NULL""",
            {"tail": TAIL},
        ).fetchone()
    except driver().Error as exc:
        return None, f"the server's log cannot be read: {' '.join(str(exc).split())}"
    if row is None or row["tail"] is None:
        return None, "the server does not write its log as plain text (log_destination)"
    return bytes(row["tail"]).decode("utf-8", "replace"), ""


@dataclass
class _Entry:
    severity: str
    process: str
    parts: list[tuple[str, str]]


def _entries(log: str) -> list[_Entry]:
    """Split a log into messages, each with its detail, context and so on."""
    found: list[_Entry] = []
    for line in log.splitlines():
        match = _SEVERITY.search(line)
        if match is None:
            if found:  # a continued line
                kind, text = found[-1].parts[-1]
                found[-1].parts[-1] = (kind, f"{text} {line.strip()}")
        elif match[1] in _PARTS:
            if found:
                found[-1].parts.append((match[1], line[match.end() :].strip()))
        else:
            process = re.search(r"\[(\d+)\]", line[: match.start()])  # log_line_prefix has %p by default
            found.append(_Entry(match[1], process[1] if process else "", [(match[1], line[match.end() :].strip())]))
    return found


def find(log: str, name: str, oid: int) -> str | None:
    """Return the last error in a log that belongs to this subscription, with its detail, in one line."""
    found = list(_errors(_entries(log), name, oid))
    return _worded(found[-1]) if found else None


def by_table(log: str, name: str, oid: int) -> dict[str, str]:
    """The last error of each table: by schema.table where a change was applied, by its bare name where it was copied.

    That is how the server's own words name them.
    """
    entries = _entries(log)
    started = re.compile(rf'subscription "{re.escape(name)}", table "(.+?)" has started')
    copies = {e.process: m[1] for e in entries for _kind, text in e.parts if (m := started.search(text))}
    found = {}
    for entry in _errors(entries, name, oid):
        target = next((m[1] for _kind, text in entry.parts if (m := _TARGET.search(text))), copies.get(entry.process))
        if target:
            found[target] = _worded(entry)
    return found


def _errors(entries: list[_Entry], name: str, oid: int) -> Iterator[_Entry]:
    """What went wrong with a subscription. An error of the copy does not name it, but its process did at its start."""
    marks = re.compile(rf'subscription "{re.escape(name)}"|origin "pg_{oid}"|"pg_{oid}_sync_')
    ours = [any(marks.search(text) for _kind, text in entry.parts) for entry in entries]
    processes = {entry.process for entry, mine in zip(entries, ours) if mine and entry.process}
    for entry, mine in zip(entries, ours):
        if entry.severity in ("ERROR", "FATAL") and (mine or entry.process in processes):
            yield entry


def _worded(entry: _Entry) -> str:
    told = [text for kind, text in entry.parts if kind in (entry.severity, "DETAIL")]
    return " ".join(" ".join(told).split())
