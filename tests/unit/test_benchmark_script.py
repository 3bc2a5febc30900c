# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pgbench script taken apart, and the proof made of it."""

from __future__ import annotations

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_benchmark_script import (
    check,
    check_writing,
    proof,
    split,
    written_tables,
)


def texts(script: str) -> list[str]:
    return [piece.text for piece in split(script)]


@pytest.mark.parametrize(
    ("script", "pieces"),
    [
        ("SELECT 1;", ["SELECT 1"]),
        ("SELECT 1", ["SELECT 1"]),
        ("\\set a random(1, 10)\nSELECT :a;\nSELECT 2;\n", ["\\set a random(1, 10)", "SELECT :a", "SELECT 2"]),
        ("\\set a 1 + \\\n 2\nSELECT :a;", ["\\set a 1 + \\\n 2", "SELECT :a"]),
        ("SELECT ';', \"a;b\", E'\\';', $$;$$, $x$ ; $$ $x$;SELECT 2;", None),
        ("-- a; b\nSELECT 1; /* c; /* d; */ e; */ SELECT 2;", None),
        ("SELECT 1 AS a \\gset\nSELECT :a;", ["SELECT 1 AS a \\gset", "SELECT :a"]),
        ("SELECT 1 AS a \\gset p_\nSELECT 2 \\aset\n", ["SELECT 1 AS a \\gset p_", "SELECT 2 \\aset"]),
        ("BEGIN\\; SELECT 1\\; END;", ["BEGIN", "SELECT 1", "END"]),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);SELECT 3;", None),
        ("  \\sleep 1 ms\n  SELECT 1;", ["\\sleep 1 ms", "SELECT 1"]),
        ("-- only a comment\n", []),
        ("", []),
        ("SELECT 'it''s';SELECT 2;", ["SELECT 'it''s'", "SELECT 2"]),
        ("/* a; */ -- b\n \\set a 1\nSELECT 2;", ["\\set a 1", "SELECT 2"]),
        ("SELECT 1 \\shell true\nSELECT 2;", ["SELECT 1", "\\shell true", "SELECT 2"]),
        ("SELECT '\\shell' -- \\shell\n;", ["SELECT '\\shell' -- \\shell"]),
    ],
)
def test_split(script: str, pieces: list[str] | None) -> None:
    if pieces is None:
        assert len(split(script)) == 2
    else:
        assert texts(script) == pieces


@pytest.mark.parametrize(
    ("statement", "controls"),
    [
        ("BEGIN;", True),
        ("begin isolation level serializable;", True),
        ("/* x */ -- y\n COMMIT;", True),
        ("END;", True),
        ("ROLLBACK;", True),
        ("START TRANSACTION;", True),
        ("SAVEPOINT a;", True),
        ("ROLLBACK TO a;", True),
        ("PREPARE TRANSACTION 'x';", True),
        ("SET TRANSACTION READ ONLY;", True),
        ("PREPARE p AS SELECT 1;", False),
        ("SET work_mem = '1MB';", False),
        ("SELECT 'begin';", False),
        ("\\endpipeline\n", False),
    ],
)
def test_transaction_control(statement: str, controls: bool) -> None:
    assert [piece.controls for piece in split(statement)] == [controls]


def test_the_proof_has_no_transaction_of_the_script() -> None:
    text = proof(
        split("\\set a 1\nBEGIN;\nUPDATE t SET a = :a -- why\n;\nSELECT 1 AS b \\gset\nEND;\n\\syncpipeline\n")
    )
    lines = text.splitlines()
    assert lines[0] == "BEGIN READ WRITE;" and lines[-1] == "ROLLBACK;"
    before = text.split("DO $crossover$", maxsplit=1)[0].splitlines()[1:]
    assert not [line for line in before if line.startswith(("BEGIN", "END", "COMMIT"))]
    assert "UPDATE t SET a = :a -- why\n;" in text
    assert "SELECT 1 AS b \\gset\n" in text
    assert "pipeline" not in text
    # pgbench takes every colon for a variable.
    assert ":" not in text.split("DO $crossover$")[1]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "no statement"),
        ("\\set a 1\n", "no statement"),
        ("\\shell rm x\nSELECT 1;", "runs programs"),
        ("\\setshell a date\nSELECT 1;", "runs programs"),
        ("/* hidden */ \\shell true\nSELECT 1;", "runs programs"),
        ("SELECT 1 \\shell true\n", "runs programs"),
        ("BEGIN READ  WRITE; SELECT 1; END;", "READ WRITE"),
        ("SET default_transaction_read_only = off; DELETE FROM t;", "transaction_read_only"),
    ],
)
def test_refused(script: str, words: str) -> None:
    with pytest.raises(CrossoverError, match=words) as error:
        check(script, split(script))
    assert error.value.code == "script_refused"


def test_a_writing_script_may_not_branch() -> None:
    script = "\\set a 1\n\\if :a = 1\nDELETE FROM t;\n\\endif\n"
    check(script, split(script))
    with pytest.raises(CrossoverError, match="branches"):
        check_writing(split(script))


def test_the_names_in_a_refusal() -> None:
    assert written_tables("client 0: ERROR: crossover_bench writes to shop.a, shop.b") == "shop.a, shop.b"
    assert written_tables("something else") is None
