# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load SQL scripts with psql, and tell whether two databases have the same schema, as pg_dump sees it."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from pathlib import Path

from .database import Database

_NOISE = re.compile(r"^(\\(un)?restrict |-- Dumped (from|by) |SET default_table_access_method)")

# What 15.20 keeps for itself in a column's options, and no server takes.
_ATTVER = re.compile(r'^ALTER TABLE ONLY (?:[^";]|"[^"]*")* SET \(pg_attver=\d+\);\n', re.MULTILINE)
_POLICY = re.compile(r"^(CREATE POLICY .* TO )(\S+(?:, \S+)*)( USING .*)$")  # its roles are a set


def _sorted(match: re.Match[str]) -> str:
    return match[1] + ", ".join(sorted(match[2].split(", "))) + match[3]


def _run(
    database: Database, program: str, *arguments: str, bindir: Path | None = None, env: dict[str, str] | None = None
) -> str:
    login = database.superuser
    environment = {
        **os.environ, "PGHOST": login["login_host"], "PGPORT": str(login["login_port"]), "PGUSER": login["login_user"],
        "PGPASSWORD": login["login_password"], "PGDATABASE": database.name, "LC_ALL": "C", **(env or {}),
    }  # fmt: skip
    command = [str((bindir or database.cluster.bindir) / program), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program}: {done.stderr}"
    return done.stdout


def load(
    database: Database,
    *files: Path,
    env: dict[str, str] | None = None,
    variables: dict[str, str] | None = None,
) -> None:
    """Run SQL scripts in one psql session as the superuser."""
    options = [f"--set={name}={value}" for name, value in (variables or {}).items()]
    options += [f"--file={file}" for file in files]
    _run(database, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, env=env)


def structure(database: Database, *options: str) -> str:
    """What pg_dump writes, as SQL."""
    text = _run(database, "pg_dump", "--schema-only", *options)
    return "\n".join(line for line in text.splitlines() if not line.startswith("\\"))


def dumped(database: Database, newest: Database) -> list[str]:
    """The whole schema as text, by the pg_dump of ``newest``'s server, without the migration's own."""
    options = ["--schema-only", "--exclude-schema=crossover", "--no-publications", "--no-subscriptions"]
    text = _run(database, "pg_dump", *options, bindir=newest.cluster.bindir)
    text = _ATTVER.sub("", text).replace(",pg_attver=", ", pg_attver=")
    text = re.sub(r"(, pg_attver=\d+|pg_attver=\d+, )", "", text)
    return [_POLICY.sub(_sorted, line) for line in text.splitlines() if not _NOISE.match(line)]


def difference(source: Database, target: Database) -> str:
    """What differs, as a diff; empty when the schemas are equal. Event triggers are not carried over."""
    text = "\n".join(dumped(source, target))
    text = re.sub(r"--\n-- Name: \w+; Type: EVENT TRIGGER;.*?(?=\n--\n-- )", "", text, flags=re.DOTALL)
    wanted = [line for line in text.splitlines() if line.strip(" -")]
    got = [line for line in dumped(target, target) if line.strip(" -")]
    if (
        source.cluster.version < 16 <= target.cluster.version
    ):  # since 16 views are printed without needless qualification
        wanted, got = ([re.sub(r"\b\w+\.(?=\w)", "", line) for line in lines] for lines in (wanted, got))
    return "\n".join(difflib.unified_diff(wanted, got, "source", "target", lineterm="", n=1))
