# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's client programs: which are chosen, how they are run, what their errors say."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils import _pg_programs as programs
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login


def install(directory: Path, version: str, *names: str, body: str = "exit 0") -> str:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        script = directory / name
        script.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{name} (PostgreSQL) {version}"; exit 0; }}\n{body}\n'
        )
        script.chmod(0o755)
    return str(directory)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing is found but what a test installs."""
    monkeypatch.setattr(programs, "_PACKAGED", ())
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    return monkeypatch


def test_the_lowest_that_is_new_enough(only: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version in ("14.11", "16.2 (Debian 16.2-1)", "17beta1", "18.4"):
        install(tmp_path / version[:2], version, "pg_dump", "pg_restore")
    only.setattr(programs, "_PACKAGED", (f"{tmp_path}/*",))
    for wanted, expected in ((0, 14), (15, 16), (17, 17), (18, 18)):
        assert programs.find(["pg_dump", "pg_restore"], wanted).version == expected
    with pytest.raises(CrossoverError, match="pg_dump of PostgreSQL 19 or newer not found .*found: 14, 16, 17, 18"):
        programs.find(["pg_dump"], 19)
    with pytest.raises(CrossoverError, match="psql not found .*found none"):
        programs.find(["psql"])


def test_a_directory_needs_all_of_them(only: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path / "a", "18.1", "pg_dump")
    install(tmp_path / "b", "18.1", "pg_dump", "pg_restore")
    only.setenv("PATH", f"{tmp_path}/a{os.pathsep}{tmp_path}/b")
    assert programs.find(["pg_dump", "pg_restore"], 18).directory == f"{tmp_path}/b"


def test_debians_wrapper_is_passed_over(only: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path / "share", "18.1", "pg_wrapper")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pg_dump").symlink_to(tmp_path / "share" / "pg_wrapper")
    only.setenv("PATH", f"{tmp_path}/bin")
    with pytest.raises(CrossoverError, match="found none"):
        programs.find(["pg_dump"])


def test_bin_dir_alone_is_looked_at(only: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path / "new", "18.1", "pg_dump")
    old = install(tmp_path / "old", "15.1", "pg_dump")
    only.setenv("PATH", f"{tmp_path}/new")
    assert programs.find(["pg_dump"], 15, old).version == 15
    with pytest.raises(CrossoverError, match="PostgreSQL 18 or newer not found .*found: 15"):
        programs.find(["pg_dump"], 18, old)
    with pytest.raises(CrossoverError, match="/nowhere does not have pg_dump"):
        programs.find(["pg_dump"], 15, "/nowhere")


def test_the_wheel_comes_last_and_has_no_tls(only: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path / "wheel" / "pginstall18" / "bin", "18.1", "pg_dump")

    class Spec:
        submodule_search_locations = (str(tmp_path / "wheel"),)

    only.setattr(importlib.util, "find_spec", lambda _name: Spec)
    assert programs.find(["pg_dump"], 18).directory.endswith("pginstall18/bin")
    login = Login(ssl_mode="verify-full")
    with pytest.raises(CrossoverError, match="18 or newer with TLS not found"):
        programs.for_servers(["pg_dump"], [160004, 180001], [Login(), login])
    install(tmp_path / "installed", "19.1", "pg_dump")
    only.setenv("PATH", str(tmp_path / "installed"))
    assert programs.find(["pg_dump"], 18).version == 19


def test_the_password_is_in_the_environment_only(tmp_path: Path) -> None:
    where = install(tmp_path, "18.1", "pg_dump", body='echo "$@"; echo "$PGPASSWORD"; echo "$PGHOST"')
    login = Login(
        "db.example.com", 5433, "bob", "s3cret", "shop", connect_params={"keepalives_idle": "5", "password": "x"}
    )
    out = programs.Programs(where, 18).run("pg_dump", ["-s"], login, doing="x").splitlines()
    assert out[0] == "-s --dbname=keepalives_idle='5'"
    assert out[2] == "db.example.com" and "s3cret" not in out[0]


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        ("pg_dump: error: query failed: ERROR:  permission denied for table t\npg_dump: detail: Query was: LOCK t",
         "permission denied for table t"),
        ("pg_dump: last built-in OID\npg_dump: error: server version mismatch\npg_dump: detail: server version: 18",
         "server version mismatch (server version: 18)"),
        ('psql: error: connection to server at "127.0.0.1", port 1 failed: Connection refused\n\tIs it running?',
         'connection to server at "127.0.0.1", port 1 failed: Connection refused'),
        ('pg_dump: error: connection to server at "h", port 5 failed: FATAL:  database "x" does not exist',
         'database "x" does not exist'),
        ("psql:/tmp/x.sql:3: ERROR:  syntax error\nLINE 1: x", "ERROR:  syntax error"),
        ("nothing known", "nothing known"),
        ("", "it said nothing"),
    ],
)  # fmt: skip
def test_first_error(stderr: str, told: str) -> None:
    program = "psql" if stderr.startswith("psql") else "pg_dump"
    assert programs.first_error(program, stderr) == told


def test_errors_are_one_sentence(tmp_path: Path) -> None:
    body = 'echo "pg_dump: error: query failed: ERROR:  permission denied for table t" >&2; exit 1'
    where = install(tmp_path, "18.1", "pg_dump", body=body)
    with pytest.raises(CrossoverError) as failed:
        programs.Programs(where, 18).run("pg_dump", [], Login("h"), doing="the schema could not be read")
    assert str(failed.value) == (
        "server h:5432/postgres: the schema could not be read: permission denied for table t. "
        "Make the login a member of the owner of that object."
    )
    assert failed.value.failure()["code"] == "program_failed"


def test_a_deadline_ends_the_program_and_its_children(tmp_path: Path) -> None:
    where = install(tmp_path, "18.1", "pgbench", body=f"sleep 30 & echo $! > {tmp_path}/pid; wait")
    start = time.monotonic()
    with pytest.raises(CrossoverError, match="pgbench took longer than 0.5 s") as failed:
        programs.Programs(where, 18).run("pgbench", [], doing="x", timeout=0.5)
    assert failed.value.code == "timeout" and time.monotonic() - start < 10
    child = int((tmp_path / "pid").read_text())
    for _unused in range(50):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the child still runs")
