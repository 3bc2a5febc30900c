# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewriting a pooler's database line; the watchdog's pipe."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_route import Address, make_route
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_route_pgbouncer import point_line
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_watchdog import Watchdog
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login

TO = Address("node", "n1.example.com", 5433, "shop")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("shop = host=old port=1 dbname=shop", "shop = host=n1.example.com port=5433 dbname=shop"),
        ("shop=host=old", "shop=host=n1.example.com port=5433 dbname=shop"),
        (
            "; note\nother = host=x\nshop = host=old user='o''dd name' dbname='a b'\n* = host=y\n",
            "; note\nother = host=x\nshop = host=n1.example.com port=5433 dbname=shop user='o''dd name'\n* = host=y\n",
        ),
        ('"shop" = host=old', '"shop" = host=n1.example.com port=5433 dbname=shop'),
        (";shop = host=no\nshop = host=old", ";shop = host=no\nshop = host=n1.example.com port=5433 dbname=shop"),
    ],
)
def test_only_that_line_changes(before: str, after: str) -> None:
    assert point_line(before, "shop", TO) == after
    assert point_line(after, "shop", TO) == after


def test_a_file_without_the_line_is_an_error() -> None:
    with pytest.raises(CrossoverError, match="no line"):
        point_line("[databases]\nshopping = host=x", "shop", TO)


def test_a_name_that_needs_quotes() -> None:
    assert (
        point_line("shop = host=x", "shop", Address("node", "h", 1, "my shop"))
        == "shop = host=h port=1 dbname='my shop'"
    )


def test_an_unknown_route() -> None:
    with pytest.raises(CrossoverError, match="nonsense is no route"):
        make_route({"type": "nonsense"}, Login(), Login())


def _acted(tmp_path: Path, window: float, held: bool, over: bool, close: bool, wait: float) -> bool:
    mark = tmp_path / "acted"
    dog = Watchdog(lambda: mark.write_text("yes") and None, window)
    dog.start()
    if held:
        dog.held()
    if over:
        dog.over()
    if close:
        os.close(dog._pipe)
    time.sleep(wait)
    acted = mark.exists()
    if not over and not close:
        dog.over()
    elif not over:
        os.waitpid(dog.pid, 0)
    return acted


@pytest.mark.parametrize(
    ("window", "held", "over", "close", "acts"),
    [
        (5.0, False, False, True, False),  # the owner died before anything was held
        (5.0, True, False, True, True),  # the owner died
        (0.2, True, False, False, True),  # the owner stalls
        (0.2, True, True, False, False),  # all went well
        (0.1, False, False, False, False),  # it is not held yet: no deadline runs
    ],
)
def test_the_watchdog_acts_only_on_a_hold_that_nobody_ends(
    tmp_path: Path, window: float, held: bool, over: bool, close: bool, acts: bool
) -> None:
    assert _acted(tmp_path, window, held, over, close, 0.6) == acts
