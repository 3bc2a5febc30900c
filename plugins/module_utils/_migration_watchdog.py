# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog: a process of its own that ends a hold whose owner has died or stalled (private to the collection).

It is forked before the switch opens its sessions, and lets go of what the module had open by then. The owner's end of
a pipe tells it everything: a byte when the hold begins, a byte when it is over, end of file when the owner is gone.
"""

from __future__ import annotations

import os
import select
import signal
import time
from typing import Callable

_HELD, _OVER = b"H", b"O"
_HIGHEST = 4096  # no module has this many files open


class Watchdog:
    """Runs ``rescue`` in its own process when the hold lasts longer than ``window`` seconds or its owner dies."""

    def __init__(self, rescue: Callable[[], object], window: float, tries_for: float = 3600.0) -> None:
        self.rescue = rescue
        self.window = window
        self.tries_for = tries_for
        self._pipe = -1
        self.pid = 0

    def start(self) -> None:
        """Fork. The child leaves session and terminal, so that what kills the owner does not reach it."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(writing)
                os.setsid()
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                null = os.open(os.devnull, os.O_RDWR)
                for handle in (0, 1, 2):  # Ansible waits for these to close
                    os.dup2(null, handle)
                # The owner's sessions, and what they lock, end with the owner: a copy held here would keep them.
                os.closerange(3, reading)
                os.closerange(reading + 1, _HIGHEST)
                self._watch(reading)
            finally:
                os._exit(0)
        os.close(reading)
        self._pipe, self.pid = writing, pid

    def held(self) -> None:
        """Called just before the hold begins."""
        os.write(self._pipe, _HELD)

    def over(self) -> None:
        """Called once the application goes on; the watchdog ends."""
        if self._pipe >= 0:
            try:
                os.write(self._pipe, _OVER)
            except BrokenPipeError:
                pass  # it has acted and ended: the control row decides
            os.close(self._pipe)
            self._pipe = -1
            os.waitpid(self.pid, 0)

    def _watch(self, reading: int) -> None:
        until: float | None = None
        while True:
            wait = None if until is None else max(0.0, until - time.monotonic())
            ready, _w, _x = select.select([reading], [], [], wait)
            word = os.read(reading, 1) if ready else b""
            if word == _OVER or (ready and not word and until is None):
                return  # over, or the owner died with nothing held
            if word == _HELD:
                until = time.monotonic() + self.window
                continue
            self._act()
            return

    def _act(self) -> None:
        """Keep trying: the source or the pooler may be away for a moment."""
        until, pause = time.monotonic() + self.tries_for, 0.2
        while True:
            try:
                self.rescue()
                return
            except Exception:  # pylint: disable=broad-except
                if time.monotonic() > until:
                    return
                time.sleep(pause)
                pause = min(pause * 1.05, 2.0)
