# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a real migration, from its ledger."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.database import Database
from support.switch import Lab, replicating


@pytest.fixture
def lab(source_db: Database, target_db: Database, run_module: Any) -> Any:
    with replicating(Lab(source_db, target_db, run_module)) as made:
        begun = {**target_db.login, "name": source_db.name, "source": source_db.login, "phase": "assess"}
        assert not run_module("migration", {**begun, "state": "done"})["failed"]
        yield made


class Report:
    """The module, with the ledger as it is now."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab, self.html, self.json = lab, directory / "made" / "page.html", directory / "made" / "data.json"

    def ledger(self) -> dict[str, Any]:
        source = {"name": self.lab.source.name, "source": self.lab.source.login}
        found = self.lab.run("migration_info", {**self.lab.target.login, **source, "steps": True})
        return {key: found[key] for key in ("exists", "phases", "facts", "steps")}

    def run(self, check: bool = False, **more: Any) -> dict[str, Any]:
        paths = {"html": str(self.html), "json": str(self.json)}
        return self.lab.run(
            "report", {"name": self.lab.source.name, "ledger": self.ledger(), **paths, **more}, check=check
        )

    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.json.read_text())
        return found


@pytest.fixture
def report(lab: Lab, tmp_path: Path) -> Report:
    return Report(lab, tmp_path)


def test_a_migration_there_and_back(lab: Lab, report: Report) -> None:
    begun = time.time()
    there = lab.cutover()
    planned = report.run(check=True)
    assert not planned["failed"] and planned["changed"] and not report.html.parent.exists(), planned
    assert planned["diff"]["before"]["made"] is None and planned["diff"]["after"]["made"]
    first = report.run()
    assert not first["failed"] and first["changed"], first
    for path in (report.html, report.json):
        assert path.stat().st_mode & 0o777 == 0o600
    cutover = report.data()["cutover"]
    assert cutover["hold_ms"] == pytest.approx(there["hold_ms"], abs=0.1)
    assert [step["name"] for step in cutover["steps"]] == [step["name"] for step in there["steps"]]
    assert begun - 1 < cutover["begun"] < time.time()
    assert first["report"]["cutover"]["hold_ms"] == cutover["hold_ms"]
    page = report.html.read_text()
    assert lab.source.name in page and "The cutover: to the node" in page and "The rollback" not in page
    assert "http" not in page.replace("http://www.w3.org", "")

    again = report.run()
    assert not again["changed"] and again["diff"]["before"] == again["diff"]["after"], again["diff"]
    assert not report.run(check=True)["changed"]
    report.html.unlink()
    made = report.data()["generated_at"]
    assert report.run()["changed"]
    assert report.html.read_text() == page.replace(made, report.data()["generated_at"])

    back = lab.cutover("back")
    report.json.chmod(0o644)
    assert report.run(check=True)["changed"] and "rollback" not in report.data()
    assert report.run()["changed"] and report.data()["rollback"]["hold_ms"] == pytest.approx(back["hold_ms"], abs=0.1)
    assert "The rollback: to the source" in report.html.read_text() and report.json.stat().st_mode & 0o777 == 0o600


def test_a_migration_that_has_not_begun(lab: Lab, report: Report) -> None:
    nothing = report.run(ledger={"exists": False})
    assert not nothing["failed"] and nothing["changed"] and set(report.data()) == {"name", "generated_at"}, nothing
    assert lab.source.name in report.html.read_text()


def test_bad_input_is_one_sentence_and_writes_nothing(report: Report, tmp_path: Path) -> None:
    measured, file = tmp_path / "measured.json", tmp_path / "file"
    file.write_text("")

    def refused(words: str, content: str | None = None, **more: Any) -> None:
        if content is not None:
            measured.write_text(content)
            more["measured"] = str(measured)
        result = report.run(**more)
        assert result["failed"] and result["failure"]["code"] != "defect", result
        assert words in result["msg"] and "Traceback" not in result["msg"], result["msg"]
        assert not report.html.exists() and not report.json.exists()

    refused("cannot be read: [Errno 2] No such file", measured=str(tmp_path / "nowhere.json"))
    refused("cannot be read: Expecting", "{")
    refused("are not a JSON object", "[]")
    refused("cannot be drawn from this data", '{"cutover": 5, "acknowledged": 7}')
    refused("Ledger is what migration_info returned with steps=true", ledger={"exists": True})
    refused("its directory is a file", html=str(file / "page.html"))
    refused("Is a directory", html=str(tmp_path))
    refused("html and json are the same file", json=str(report.html))
