# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says to syslog of how it was invoked."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.crossover.pgedge.plugins.module_utils._ansible import Outcome, Runner, run_module

SECRET = 'it\'s \\ a "secret"'


def test_no_secret_of_a_free_form_dict_is_logged(monkeypatch: Any, capsys: Any) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda self, msg, log_args=None: logged.append(f"{msg} {log_args}"))
    given = {
        "connparams": {"host": "source", "password": SECRET},
        "route": {"poolers": [{"login_user": "admin", "login_password": SECRET}]},
        "login_password": SECRET,
    }
    seen: dict[str, Any] = {}

    def work(runner: Runner) -> Outcome:
        seen.update(runner.params)
        return Outcome(result={"echo": f"password={SECRET}"})

    with patch_module_args(given), pytest.raises(SystemExit):
        run_module({"connparams": {"type": "dict"}, "route": {"type": "dict"}}, work)
    assert seen["connparams"]["password"] == SECRET and seen["route"] == given["route"]
    assert len(logged) == 1 and "source" in logged[0] and "admin" in logged[0]
    assert "secret" not in logged[0], logged[0]
    assert "secret" not in capsys.readouterr().out
