# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the collection can be imported from, and its modules run as Ansible runs them, but in half a second."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Mapping

NAME = "crossover.pgedge"
ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def collections_path() -> Path:
    """A directory with ansible_collections/crossover/pgedge in it: above the checkout, else made of symlinks."""
    if ROOT.parts[-3:] == ("ansible_collections", *NAME.split(".")):
        return ROOT.parents[2]
    base = Path(tempfile.mkdtemp(prefix="cx-collections-"))
    base.chmod(0o755)
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    namespace = base / "ansible_collections" / "crossover"
    namespace.mkdir(parents=True)
    (namespace / "pgedge").symlink_to(ROOT)
    return base


def module_environment() -> dict[str, str]:
    """The environment in which the collection is found, by Python and by Ansible."""
    path = str(collections_path())
    before = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": path if not before else f"{path}{os.pathsep}{before}",
        "ANSIBLE_COLLECTIONS_PATH": path,
    }


def run_module(
    name: str,
    args: Mapping[str, Any],
    check: bool = False,
    diff: bool = True,
    timeout: float = 120,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run one module of the collection in a process of its own and return its result, failed or not.

    The result has ``failed`` and ``changed`` always. Output that is not one JSON object is an error of the test.
    """
    process = start_module(name, args, check, diff, environment)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return module_result(name, out, err)


def start_module(
    name: str,
    args: Mapping[str, Any],
    check: bool = False,
    diff: bool = True,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """The same without waiting: for tests that do something meanwhile, or kill it.

    A name with dots is a Python module: that of another collection.
    """
    payload = {
        **args,
        "_ansible_check_mode": check,
        "_ansible_diff": diff,
        "_ansible_remote_tmp": tempfile.gettempdir(),
    }
    process = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("module_main.py")),
            name if "." in name else f"ansible_collections.{NAME}.plugins.modules.{name}",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**module_environment(), **(environment or {})},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": payload}))
    process.stdin.close()
    process.stdin = None  # communicate() must not touch it again
    return process


def module_result(name: str, out: str, err: str) -> dict[str, Any]:
    """The result of a module from what it printed."""
    try:
        result: dict[str, Any] = json.loads(out)
    except ValueError:
        raise AssertionError(f"module {name} did not return JSON.\nstdout: {out}\nstderr: {err}") from None
    result.setdefault("failed", False)
    result.setdefault("changed", False)
    return result
