# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source's schema as pg_dump writes it, entry by entry (private to the collection).

pg_dump makes one archive; pg_restore turns each section of it into SQL. With ``-v`` every entry has a header with its
number, its dependencies and its OID on the source, which is how an entry is matched with the objects of the target.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ._errors import CrossoverError
from ._migration_names import FENCE_TRIGGER
from ._pg_catalog import NOT_MIGRATED, Scope
from ._pg_connect import Login, driver, sql_error
from ._pg_programs import Programs
from ._pg_sql import HIDDEN, Statement, quote_ident

# What the session of a restore sets, as pg_dump's own preamble does: names are all qualified, bodies are checked later.
SETTINGS = {
    "search_path": "",
    "check_function_bodies": "off",
    "xmloption": "content",
    "client_min_messages": "warning",
    "row_security": "off",
    "default_tablespace": "",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


@dataclass(frozen=True)
class Entry:
    """One entry of the archive. ``address`` is (catalogue OID, OID) on the source; catalogue 0: part of another one."""

    id: int
    address: tuple[int, int]
    depends: tuple[int, ...]
    name: str
    type: str
    schema: str
    owner: str
    sql: str

    def __str__(self) -> str:
        place = "" if self.schema == "-" else f"{self.schema}."
        return f"{self.type.lower()} {place}{self.name}"

    @property
    def statement(self) -> Statement:
        """For ``queries``; the options of a user mapping may hold a password."""
        if self.type != "USER MAPPING":
            return Statement.of(self.sql)
        return Statement(self.sql, re.sub(r"OPTIONS \(.*\)", f"OPTIONS ({HIDDEN})", self.sql, flags=re.DOTALL))


@dataclass(frozen=True)
class Dump:
    """Both sections, each in the order of the archive. ``version`` is pg_dump's."""

    pre: tuple[Entry, ...]
    post: tuple[Entry, ...]
    version: int


# A header, or anything in which the text of a header would mean nothing: strings, quoted names, other comments.
_TOKEN = re.compile(
    r"""
    (?P<header>^--\n
        --\ TOC\ entry\ (?P<id>\d+)\ \(class\ (?P<class>\d+)\ OID\ (?P<oid>\d+)\)\n
        (?:--\ Dependencies:\ (?P<depends>[\d ]+)\n)?
        --\ Name:\ (?P<name>.*);\ Type:\ (?P<type>[A-Z ]+);\ Schema:\ (?P<schema>.*);\ Owner:\ (?P<owner>.*)\n
        (?:--\ Data\ Pos:.*\n)?
        --\n)
    | (?P<end>^--\n--\ PostgreSQL\ database\ dump\ complete\n--\n)
    | \b[Ee]'(?:[^'\\]|\\[\s\S]|'')*'
    | '[^']*'
    | "[^"]*"
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$)[\s\S]*?(?P=dollar)
    | --[^\n]*\n
    """,
    re.VERBOSE | re.MULTILINE,
)
# pg_restore sets these between entries, for all that follow; "Completed on" ends the last one.
_TAIL = re.compile(r"\n(?:SET (?P<name>default_\w+) = (?P<value>[^;\n]*);|-- Completed on [^\n]*)\s*\Z")


def parse(script: str) -> list[Entry]:
    """Split what ``pg_restore -v -f -`` printed. Text that looks like a header inside of a string stays what it is."""
    heads = [match for match in _TOKEN.finditer(script) if match["header"] or match["end"]]
    entries: list[Entry] = []
    _body, settings = _split(script[: heads[0].start()] if heads else "")
    for head, following in zip(heads, heads[1:], strict=False):
        if head["end"]:
            break
        body, after = _split(script[head.end() : following.start()])
        entries.append(_entry(head, body, settings))
        settings = {**settings, **after}
    return entries


def _split(text: str) -> tuple[str, dict[str, str]]:
    """The SQL of an entry, and the settings behind it that hold for the entries that follow."""
    settings: dict[str, str] = {}
    text = f"\n{text.rstrip()}"
    while tail := _TAIL.search(text):
        text = text[: tail.start()].rstrip()
        if tail["name"]:
            settings.setdefault(tail["name"], tail["value"])
    return text.strip(), settings


def _entry(head: re.Match[str], body: str, settings: dict[str, str]) -> Entry:
    # Only the access method matters: tablespaces are left out of the dump.
    method = settings.get("default_table_access_method")
    if method not in (None, "heap", "''") and head["type"] in ("TABLE", "MATERIALIZED VIEW"):
        body = (
            f"SET LOCAL default_table_access_method = {method};\n{body}\nSET LOCAL default_table_access_method = heap;"
        )
    return Entry(
        int(head["id"]),
        (int(head["class"]), int(head["oid"])),
        tuple(int(d) for d in (head["depends"] or "").split()),
        head["name"],
        head["type"],
        head["schema"],
        head["owner"],
        body,
    )


def dump(programs: Programs, login: Login, scope: Scope, excluded: Iterable[str] = ()) -> Dump:
    """Read the source's schema. ``excluded``: full names of the tables to leave out."""
    options = ["--schema-only", "--no-publications", "--no-subscriptions", "--no-tablespaces", "--encoding=UTF8"]
    options += ["--no-password", "--lock-wait-timeout=30s"]
    options += [f"--exclude-schema={quote_ident(name)}" for name in NOT_MIGRATED]
    options += [f"--exclude-table={name}" for name in excluded]
    if scope.schemas:
        options += [f"--schema={_pattern(name)}" for name in scope.schemas] + ["--extension=*"]
    if login.session_role:
        options.append(f"--role={login.session_role}")
    with tempfile.TemporaryDirectory(prefix="crossover-") as directory:
        archive = str(Path(directory, "schema"))
        doing = "the source's schema could not be read"
        programs.run("pg_dump", ["--format=custom", f"--file={archive}", *options], login, doing=doing)
        pre, post = (
            parse(programs.run("pg_restore", ["-v", f"--section={section}", "-f", "-", archive], doing=doing))
            for section in ("pre-data", "post-data")
        )
    return Dump(tuple(pre), tuple(post), programs.version)


def _pattern(name: str) -> str:
    """A schema as pg_dump's pattern that means this one only."""
    return '"' + name.replace('"', '""') + '"'


# -- what a target cannot take, or must not have -----------------------------------------------------------------------


def skipped(entry: Entry) -> bool:
    """Entries that are not part of a migration: event triggers, and the migration's own fence."""
    if entry.type == "EVENT TRIGGER" or entry.name.startswith("EVENT TRIGGER "):
        return True
    return entry.type == "TRIGGER" and entry.name.endswith(f" {FENCE_TRIGGER}")


NAME = r'(?:"(?:[^"]|"")+"|[^\s".;]+)'  # may hold a newline
_ANY = r'(?:[^";]|"[^"]*")*'  # the rest of a statement without strings, such as these are

# Column options that a server keeps for itself (pg_attver: 15.20) and pg_dump prints, though no server takes them.
_UNKNOWN_OPTIONS = ("pg_attver",)
_COLUMN_OPTIONS = re.compile(
    rf"^(ALTER (?:FOREIGN )?TABLE ONLY {NAME}\.{NAME} ALTER COLUMN {NAME} SET \()([^)]*)(\);)$", re.MULTILINE
)


def adapt(entry: Entry, left_out: Collection[str]) -> Entry | None:
    """The entry without what the target would reject: unknown options, roles that are not carried over."""
    sql = _COLUMN_OPTIONS.sub(_known_options, entry.sql) if any(o in entry.sql for o in _UNKNOWN_OPTIONS) else entry.sql
    if left_out:
        names = "|".join(re.escape(quote_ident(name)) for name in left_out)
        if entry.type in ("ACL", "DEFAULT ACL"):
            if entry.type == "DEFAULT ACL" and entry.owner in left_out:
                return None
            grant = rf"^(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) {_ANY} (TO|FROM) ({names})( WITH GRANT OPTION)?;$"
            session = rf"^SET SESSION AUTHORIZATION ({names});$([\s\S]*?)^RESET SESSION AUTHORIZATION;$"
            sql = re.sub(session, r"\2", re.sub(grant, "", sql, flags=re.MULTILINE), flags=re.MULTILINE)
        elif entry.type == "USER MAPPING" and re.search(rf" FOR ({names}) SERVER ", sql):
            return None
        elif entry.owner in left_out:
            sql = re.sub(rf"^ALTER {_ANY} OWNER TO ({names});\Z", "", sql, flags=re.MULTILINE)
    return replace(entry, sql=sql.strip()) if sql.strip() else None


def _known_options(match: re.Match[str]) -> str:
    kept = [o for o in match[2].split(", ") if o.split("=")[0].strip('"') not in _UNKNOWN_OPTIONS]
    return f"{match[1]}{', '.join(kept)}{match[3]}" if kept else ""


# -- running them ------------------------------------------------------------------------------------------------------


def run(conn: Any, entry: Entry) -> None:
    """Run one entry in the caller's transaction, as bytes: a database without an encoding may hold anything."""
    conn.execute(entry.sql.encode("utf-8", "surrogateescape"), prepare=False)


def run_all(conn: Any, entries: Iterable[Entry], then: Callable[[], None], login: Login) -> None:
    """Run entries and ``then`` in one transaction: all or nothing. On failure every entry that fails is named."""
    entries = list(entries)
    try:
        with conn.transaction():
            for entry in entries:
                run(conn, entry)
            then()
    except driver().Error as exc:
        if not conn.closed and (failures := list(_diagnose(conn, entries))):
            raise _failed(failures, login) from None
        raise sql_error(exc, login, "the schema could not be created", untouched=_UNTOUCHED) from None


_UNTOUCHED = "the transaction was rolled back: the node is as it was"


def _diagnose(conn: Any, entries: list[Entry]) -> Iterator[tuple[Entry, Exception]]:
    """Once more with a savepoint each, and undone at the end: which entries fail by themselves?"""
    failed: set[int] = set()
    with conn.transaction(force_rollback=True):
        for entry in entries:
            if failed.intersection(entry.depends):
                failed.add(entry.id)
                continue
            try:
                with conn.transaction():
                    run(conn, entry)
            except driver().Error as exc:
                failed.add(entry.id)
                yield entry, exc


def _failed(failures: list[tuple[Entry, Exception]], login: Login) -> CrossoverError:
    first, exc = failures[0]
    more = f" ({len(failures) - 1} more in errors)" if len(failures) > 1 else ""
    return sql_error(
        exc,
        login,
        f"{first} could not be created{more}",
        code="restore_failed",
        object=str(first),
        untouched=_UNTOUCHED,
        hint=hint(exc),
        data={"errors": [f"{entry}: {' '.join(str(e).split())}" for entry, e in failures]},
    )


def hint(exc: BaseException) -> str | None:
    """What to do about an error that a restore is known for."""
    text = str(exc)
    if "is not available" in text and "extension" in text:
        return "install the extension's package on the node, or leave it out by extensions_exclude"
    if "max_locks_per_transaction" in text or getattr(exc, "sqlstate", "") == "53200":
        return "raise max_locks_per_transaction on the node: the schema is created in one transaction"
    if getattr(exc, "sqlstate", "") == "42704" and "role" in text:
        return "run the part roles too, or create the role"
    return None
