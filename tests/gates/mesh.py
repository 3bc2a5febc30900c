# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests on real Spock nodes, and the record of their last run: tests/mesh.json, which is committed.

usage: mesh.py [ARGUMENT of pytest …]

A run of all of them, none failed and none skipped, writes the record: versions, date, counts, and a hash of plugins/
and roles/. ``said`` compares that with the tree as it is, for whoever runs the gates where there is no Spock.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "tests" / "mesh.json"
HASHED = ("plugins", "roles")
sys.path.insert(0, str(ROOT / "tests"))


def tree() -> str:
    """A hash of the names and contents of all files that git knows in plugins/ and roles/."""
    names = subprocess.run(["git", "ls-files", "-z", *HASHED], cwd=ROOT, capture_output=True, check=True).stdout
    digest = hashlib.sha256()
    for name in sorted(filter(None, names.decode().split("\0"))):
        path = ROOT / name
        if path.is_file():  # else it is removed, and not committed yet
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def said() -> str:
    """One sentence: when the tests on real Spock last passed, and whether the tree has moved on since."""
    if not RECORD.exists():
        return "mesh: the tests on real Spock have not run yet (make test-mesh)"
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    what = f"mesh: {record['passed']} tests passed on PostgreSQL {record['postgresql']} with Spock {record['spock']}"
    same = record["tree"] == tree()
    since = "with this very tree" if same else "and plugins/ or roles/ have changed since: make test-mesh"
    return f"{what} on {record['date']}, {since}"


def versions(bindir: Path) -> dict[str, str]:
    """Of PostgreSQL, and of the extension that it offers."""
    version, share = (
        subprocess.run([bindir / "pg_config", what], capture_output=True, text=True, check=True).stdout.strip()
        for what in ("--version", "--sharedir")
    )
    control = (Path(share) / "extension" / "spock.control").read_text(encoding="utf-8")
    spock = re.search(r"^default_version\s*=\s*'([^']+)'", control, re.MULTILINE)
    return {"postgresql": version.split()[1], "spock": spock.group(1) if spock else "unknown"}


def counts(report: Path) -> dict[str, int]:
    """Passed, failed, skipped, from pytest's report."""
    suites = list(ElementTree.parse(report).iter("testsuite"))
    total, failures, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return {"passed": total - failures - errors - skipped, "failed": failures + errors, "skipped": skipped}


def record(found: dict[str, Any]) -> None:
    """Write it down."""
    written = {**found, "date": date.today().isoformat(), "tree": tree()}
    RECORD.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    """Run them."""
    from support.mesh import WHY, spock_bindir

    arguments = sys.argv[1:]
    bindir = spock_bindir()
    if bindir is None:
        print(f"skipped: {WHY}")
    before = tree()
    code = subprocess.run(["pytest", "tests/integration", "-m", "mesh", *arguments], cwd=ROOT, check=False).returncode
    reports = [a.partition("=")[2] for a in arguments if a.startswith("--junit-xml=")]
    whole = all(a.startswith(("--junit-xml=", "-n", "--dist")) for a in arguments)  # not -k, nor a single file
    if code == 0 and bindir and reports and whole and tree() == before:
        found = counts(Path(reports[0]))
        if found["passed"] and not found["skipped"]:
            record({**versions(bindir), **found})
    print(said())
    return code


if __name__ == "__main__":
    sys.exit(main())
