# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pgbench script: taken apart, and made into a proof that writes nothing (private to the collection). Pure text.

pgbench has psql's lexer: a statement ends at a semicolon outside of quotes, comments and parentheses, or at \\gset or
\\aset; a command begins with a backslash and ends with its line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._errors import CrossoverError

SCHEMA = "crossover_bench"
GUARD = "crossover_bench_guard"  # the constraint that a COMMIT violates
MARK = "crossover_bench writes to"

_TOKEN = re.compile(
    r"""
      (?P<comment>--[^\n]*)
    | (?P<block>/\*)
    | (?P<string>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*")
    | (?P<dollar>\$(?P<tag>[A-Za-z_\x80-\uffff]?[\w\x80-\uffff]*)\$)
    | (?P<join>\\;)
    | (?P<end>;)
    | (?P<fetch>\\[ga]set\b[^\n]*)
    | (?P<command>\\(?=\w))
    | (?P<open>\() | (?P<close>\))
    | (?P<word>[A-Za-z_]\w*)
    """,
    re.X | re.S,
)
_COMMAND = re.compile(r"\\(\w+)[^\n\\]*(?:\\\n?[^\n\\]*)*")
_BLOCK = re.compile(r"/\*|\*/")

_CONTROL = ("begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release")
_SHELL = ("shell", "setshell")
_PIPELINE = ("startpipeline", "endpipeline", "syncpipeline")
# What could switch off the read-only transactions under which a script runs that needs no more.
_UNLOCKS = re.compile(r"\bread\s+write\b|transaction_read_only|\bsession\s+characteristics\b|\breset\s+all\b", re.I)


@dataclass(frozen=True)
class Piece:
    """A statement (with its terminator) or a backslash command."""

    text: str
    words: tuple[str, ...]  # the first words of a statement, lower case
    command: str = ""  # the name of a backslash command

    @property
    def controls(self) -> bool:
        """Whether it begins or ends a transaction."""
        if self.command or not self.words:
            return False
        return self.words[0] in _CONTROL or self.words[:2] in (("set", "transaction"), ("prepare", "transaction"))


def split(script: str) -> list[Piece]:
    """The pieces of a script. Statements joined by \\; are taken apart: for a proof their order is all that counts."""
    pieces: list[Piece] = []
    at = 0
    while at < len(script):
        if found := _COMMAND.match(script, _blank(script, at)):
            pieces.append(Piece(found.group().rstrip(), (), found.group(1)))
            at = found.end()
            continue
        end, words = _statement(script, at)
        text = script[at:end].strip().removesuffix("\\;").removesuffix(";").strip()
        if words or text:
            pieces.append(Piece(text, words))
        at = end
    return [piece for piece in pieces if piece.command or piece.words]


def _statement(script: str, at: int) -> tuple[int, tuple[str, ...]]:
    """Where the statement that begins here ends, and its first words."""
    words: list[str] = []
    depth = 0
    while found := _TOKEN.search(script, at):
        at = found.end()
        kind = found.lastgroup if found.lastgroup != "tag" else "dollar"
        if kind == "block":
            at = _after_comment(script, at)
        elif kind == "dollar":
            close = script.find(found.group("dollar"), at)
            at = len(script) if close < 0 else close + len(found.group("dollar"))
        elif kind == "word" and len(words) < 3:
            words.append(found.group().lower())
        elif kind in ("open", "close"):
            depth = max(0, depth + (1 if kind == "open" else -1))
        elif kind == "command":  # it ends the statement before it, wherever it stands
            return found.start(), tuple(words)
        elif kind in ("join", "fetch") or (kind == "end" and depth == 0):
            return at, tuple(words)
    return len(script), tuple(words)


def _blank(script: str, at: int) -> int:
    """Where what is neither white space nor comment begins."""
    while True:
        while at < len(script) and script[at].isspace():
            at += 1
        if script.startswith("--", at):
            at = script.find("\n", at) if "\n" in script[at:] else len(script)
        elif script.startswith("/*", at):
            at = _after_comment(script, at + 2)
        else:
            return at


def _after_comment(script: str, at: int) -> int:
    """Comments nest."""
    depth = 1
    while depth and (found := _BLOCK.search(script, at)):
        depth += 1 if found.group() == "/*" else -1
        at = found.end()
    return at if depth == 0 else len(script)


def check(script: str, pieces: list[Piece]) -> None:
    """Refuse what no proof can cover."""
    if not any(not piece.command for piece in pieces):
        raise _refused("the script has no statement", "write the statements to measure into it")
    if shells := [piece.command for piece in pieces if piece.command in _SHELL]:
        raise _refused(f"the script runs programs on the runner (\\{shells[0]})", "leave that out")
    if unlocks := _UNLOCKS.search(script):
        raise _refused(
            f"the script says {' '.join(unlocks.group().split())!r}, which would lift its read-only transactions",
            "leave that out: it is found out by itself whether the script writes",
        )


def check_writing(pieces: list[Piece]) -> None:
    """A script that writes must take the same way each time, else the proof shows only one."""
    if any(piece.command == "if" for piece in pieces):
        raise _refused(
            "the script writes, and branches with \\if: no trial run shows every branch",
            "write one script without \\if for each branch",
        )


def _refused(what: str, hint: str) -> CrossoverError:
    return CrossoverError(
        what, code="script_refused", untouched="nothing was measured and nothing was written", hint=hint
    )


# Whoever writes to a table holds a lock on it until the transaction ends, even if no row met the condition this time;
# large objects let go of theirs, but are counted. Colons would be taken for pgbench's variables.
_PROOF = f"""DO $crossover$
DECLARE written text;
BEGIN
    SELECT string_agg(name, ', ' ORDER BY name) INTO written FROM (
        SELECT format('%I.%I', n.nspname, c.relname) AS name
        FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relkind IN ('r', 'p', 'f', 'm', 'S')
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
          AND n.nspname NOT IN ('{SCHEMA}', 'pg_catalog', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
        UNION
        SELECT format('%I.%I', schemaname, relname) FROM pg_stat_xact_all_tables
        WHERE n_tup_ins + n_tup_upd + n_tup_del > 0
          AND schemaname NOT IN ('{SCHEMA}', 'pg_toast') AND schemaname !~ '^pg_(toast_)?temp_'
          AND (schemaname <> 'pg_catalog' OR relname IN ('pg_largeobject', 'pg_largeobject_metadata'))) w;
    IF written IS NOT NULL THEN
        RAISE EXCEPTION '{MARK} %', written;
    END IF;
END $crossover$"""


def proof(pieces: list[Piece]) -> str:
    """The script inside one transaction that ends with a look at what was written, and is rolled back.

    Should a COMMIT be hidden in it, the guard's constraint makes it fail; after a hidden ROLLBACK the session's
    default, read only, holds.
    """
    lines = ["BEGIN READ WRITE;", f"INSERT INTO {SCHEMA}.guard VALUES (1), (1);"]
    for piece in pieces:
        if piece.command in _PIPELINE or piece.controls:
            continue
        fetches = re.search(r"\\[ga]set\b[^\n]*\Z", piece.text)
        # A comment at the end of a statement must not swallow the semicolon.
        lines.append(piece.text if piece.command or fetches else f"{piece.text}\n;")
    return "\n".join([*lines, f"{_PROOF};", "ROLLBACK;", ""])


def written_tables(message: str) -> str | None:
    """The tables that a failed proof names."""
    return message.split(MARK, 1)[1].strip() if MARK in message else None
