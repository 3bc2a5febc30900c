# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter select_path, called and in a template."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.crossover.pgedge.plugins.filter.select_path import select_path
from support.collection import module_environment

RESULT = {
    "exists": True,
    "links": {"forward": {"lag_bytes": 176, "slot": "crossover_shop_n1"}, "back": {"lag_bytes": None}},
    "findings": [
        {"code": "large_objects", "object": "shop", "severity": "blocker", "waived": True},
        {"code": "no_replica_identity", "object": "shop.audit_log", "severity": "blocker", "waived": False},
        {"code": "clock_skew", "object": "node", "severity": "warning", "waived": False},
    ],
}
CASES: list[tuple[str, Any]] = [
    ("links.forward.lag_bytes", 176),
    ("links.back.lag_bytes", None),
    ("no.such.path", None),
    ("{there: exists, slot: links.forward.slot}", {"there": True, "slot": "crossover_shop_n1"}),
    ("findings[?severity=='blocker' && !waived].object", ["shop.audit_log"]),
    ("findings[?contains(object, 'audit')].[code, object]", [["no_replica_identity", "shop.audit_log"]]),
    ("sort_by(findings, &code)[0].code", "clock_skew"),
    ("length(findings)", 3),
]


@pytest.mark.parametrize(("expression", "wanted"), CASES)
def test_selects(expression: str, wanted: Any) -> None:
    assert select_path(RESULT, expression) == wanted


def test_selects_in_a_template(tmp_path: Path) -> None:
    """There the values have types of Ansible's own, and parts of them are templates still."""
    result = {**RESULT, "links": {"forward": {"lag_bytes": "{{ 100 + 76 }}", "slot": "crossover_{{ 'shop' }}_n1"}}}
    tasks = [
        {
            "ansible.builtin.assert": {"that": "result | crossover.pgedge.select_path(item.expression) == item.wanted"},
            "loop": [{"expression": expression, "wanted": wanted} for expression, wanted in CASES],
        }
    ]
    play = [{"hosts": "localhost", "gather_facts": False, "vars": {"result": result}, "tasks": tasks}]
    path = tmp_path / "play.yml"
    path.write_text(json.dumps(play), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "-c", "local", str(path)],
        capture_output=True,
        text=True,
        env={**module_environment(), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(tmp_path / "home")},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("expression", ["findings[?", "length(exists)", "nosuch(findings)"])
def test_what_is_no_expression_is_one_sentence(expression: str) -> None:
    with pytest.raises(AnsibleFilterError, match="is not a JMESPath expression that fits here: ") as caught:
        select_path(RESULT, expression)
    assert "\n" not in str(caught.value)


def test_without_jmespath_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jmespath", None)
    with pytest.raises(AnsibleFilterError, match=r"-m pip install jmespath$"):
        select_path(RESULT, "exists")
