# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of the domain (private to the collection)."""

from __future__ import annotations

from typing import Any


class CrossoverError(Exception):
    """A failure told in one sentence: what failed, where, how things stand, what to do next.

    ``message`` says what failed, and ``untouched`` in what state things are left; ``hint`` is the next step.
    None of them may carry a password.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "failed",
        server: str | None = None,
        object: str | None = None,  # pylint: disable=redefined-builtin
        untouched: str | None = None,
        hint: str | None = None,
        sqlstate: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.server = server
        self.object = object
        self.untouched = untouched
        self.hint = hint
        self.sqlstate = sqlstate
        self.data = data or {}

    def __str__(self) -> str:
        """The whole sentence, as a user reads it."""
        text = self.message if not self.server else f"{self.server}: {self.message}"
        for part in (self.untouched, self.hint):
            if part:
                text = f"{text.rstrip('. ')}. {part[0].upper()}{part[1:]}"
        return text if text.endswith((".", "!", "?")) else f"{text}."

    def failure(self) -> dict[str, Any]:
        """The machine-readable side of the sentence, for ``RV(failure)``."""
        return {
            "code": self.code,
            "sqlstate": self.sqlstate,
            "server": self.server,
            "object": self.object,
            "hint": self.hint,
        }
