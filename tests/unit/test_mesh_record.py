# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the last run on real Spock, and what is said of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "gates"))

import mesh

REPORT = """<testsuites><testsuite tests="9" failures="1" errors="1" skipped="3"/><testsuite tests="2"/></testsuites>"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one file that counts and one that does not."""
    for name in ("plugins/modules/one.py", "docs/page.md", "tests/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(mesh, "ROOT", tmp_path)
    monkeypatch.setattr(mesh, "RECORD", tmp_path / "tests" / "mesh.json")
    return tmp_path


def test_what_is_said_follows_the_tree(checkout: Path) -> None:
    assert "have not run yet" in mesh.said()
    mesh.record({"postgresql": "17.11", "spock": "5.0.11", "passed": 40, "failed": 0, "skipped": 0})
    assert "40 tests passed on PostgreSQL 17.11 with Spock 5.0.11" in mesh.said()
    assert mesh.said().endswith("with this very tree")
    (checkout / "docs" / "page.md").write_text("another word")
    assert mesh.said().endswith("with this very tree"), "only plugins/ and roles/ count"
    (checkout / "plugins" / "modules" / "one.py").write_text("another line")
    assert "have changed since: make test-mesh" in mesh.said()
    assert json.loads(mesh.RECORD.read_text())["passed"] == 40


def test_counts_of_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert mesh.counts(report) == {"passed": 6, "failed": 2, "skipped": 3}
