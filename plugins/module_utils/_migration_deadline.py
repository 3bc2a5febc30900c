# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deadlines for servers that do not answer (private to the collection).

A server that hangs gives no error: its kernel goes on to acknowledge what we send. While the application waits, nothing
may wait for it without an end.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import Any, Callable, Iterator, Mapping, TypeVar

from ._errors import CrossoverError

Key = TypeVar("Key")
Result = TypeVar("Result")


class NoAnswer(CrossoverError):
    """Something did not end in time."""

    def __init__(self, seconds: float, server: str | None = None) -> None:
        super().__init__(f"no answer within {seconds:g} s", code="no_answer", server=server)
        self.seconds = seconds


def together(
    acts: Mapping[Key, Callable[[], Result]], seconds: float
) -> tuple[dict[Key, Result], dict[Key, Exception]]:
    """Do all at once; what was done, and what failed. What has not ended in time is left behind, and has failed."""
    done: dict[Key, Result] = {}
    failed: dict[Key, Exception] = {}

    def run(key: Key, act: Callable[[], Result]) -> None:
        try:
            done[key] = act()
        except Exception as exc:  # pylint: disable=broad-except
            failed[key] = exc

    threads = {key: threading.Thread(target=run, args=[key, act], daemon=True) for key, act in acts.items()}
    for thread in threads.values():
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads.values():
        thread.join(max(0.0, until - time.monotonic()))
    late: dict[Key, Exception] = {key: NoAnswer(seconds) for key in acts if key not in done and key not in failed}
    return dict(done), {**failed, **late}


@contextlib.contextmanager
def time_limit(seconds: float, error: Callable[[], CrossoverError]) -> Iterator[None]:
    """Raise ``error`` in this, the main thread, whatever it waits for by then; and again, should it wait once more."""

    def ring(*_: Any) -> None:
        raise error()

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
