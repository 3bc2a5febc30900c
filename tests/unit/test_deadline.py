# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deadlines: what hangs is left behind, and what waits without an end is interrupted."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_deadline import (
    NoAnswer,
    time_limit,
    together,
)


def test_what_hangs_holds_up_nobody() -> None:
    never, begun = threading.Event(), time.monotonic()

    def fails() -> str:
        raise CrossoverError("no")

    done, failed = together({"quick": lambda: "yes", "fails": fails, "hangs": lambda: str(never.wait(30))}, 0.3)
    assert 0.2 < time.monotonic() - begun < 5
    assert done == {"quick": "yes"} and str(failed["fails"]) == "no." and isinstance(failed["hangs"], NoAnswer)
    never.set()


def test_waiting_for_a_socket_is_interrupted_and_again_where_it_waits_once_more() -> None:
    ours, _theirs = socket.socketpair()
    begun, rang = time.monotonic(), []
    with pytest.raises(CrossoverError, match="long over"):
        with time_limit(0.2, lambda: CrossoverError("long over")):
            try:
                ours.recv(1)
            finally:
                try:
                    ours.recv(1)
                except CrossoverError:
                    rang.append(time.monotonic() - begun)
    assert rang and 1.1 < rang[0] < 5


def test_nothing_rings_after_its_end() -> None:
    with time_limit(0.1, lambda: CrossoverError("late")):
        pass
    time.sleep(0.3)
