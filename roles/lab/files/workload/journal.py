# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application saw, in files outside every database: a line for each attempt, flushed at once.

Times ``t`` are CLOCK_MONOTONIC in seconds, comparable between the processes of one host; ``w`` is the wall clock.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

# How an attempt ended. After UNKNOWN the application looks its key up: FOUND or ABSENT.
OK, FAILED, UNKNOWN, FOUND, ABSENT = "ok", "failed", "unknown", "found", "absent"


class Journal:
    """One file to which one thread appends."""

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._file = os.fdopen(handle, "a", buffering=1, encoding="utf-8")

    def add(self, **line: Any) -> None:
        """Append one line; the moment is now unless given."""
        line.setdefault("t", time.monotonic())
        line.setdefault("w", time.time())
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a journal; one that is being written, or was cut off by a kill, is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as handle:
        for text in handle:
            if text.endswith("\n"):
                yield json.loads(text)


@dataclass(frozen=True)
class Attempt:
    """One attempt of one client at one transaction. ``client`` 0 is the probe."""

    client: int
    seq: int
    kind: str
    outcome: str
    t: float
    ms: float
    error: str | None = None
    port: int | None = None


class Run:
    """The directory of one run."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def writer(self, client: int) -> Journal:
        """The journal of one client."""
        return Journal(self.out / f"client-{client}.jsonl")

    def attempts(self) -> list[Attempt]:
        """All attempts of all clients, in the order in which they ended."""
        found = []
        for path in self.out.glob("client-*.jsonl"):
            client = int(path.stem.removeprefix("client-"))
            for line in lines(path):
                found.append(
                    Attempt(
                        client, line["n"], line["k"], line["o"], line["t"], line["ms"], line.get("e"), line.get("p")
                    )
                )
        return sorted(found, key=lambda attempt: attempt.t)

    def reads(self) -> list[dict[str, Any]]:
        """Everything the read probe did."""
        return list(lines(self.out / "reads.jsonl"))

    def samples(self) -> list[dict[str, Any]]:
        """The sums of all balances, as seen once a second."""
        return list(lines(self.out / "samples.jsonl"))

    def mark(self, name: str) -> None:
        """Remember this moment under a name."""
        journal = Journal(self.out / "marks.jsonl")
        journal.add(name=name)
        journal.close()

    def marks(self) -> list[dict[str, Any]]:
        """All marks, oldest first."""
        return list(lines(self.out / "marks.jsonl"))

    def moment(self, name: str) -> float:
        """When a mark was set, the last time."""
        found = [mark["t"] for mark in self.marks() if mark["name"] == name]
        if not found:
            known = ", ".join(sorted({mark["name"] for mark in self.marks()})) or "none"
            raise SystemExit(f"there is no mark {name!r} in {self.out}; known marks: {known}")
        return float(found[-1])

    def facts(self) -> dict[str, Any]:
        """What was true when the run began: its id, the sum of all balances, the number of clients."""
        path = self.out / "run.json"
        if not path.exists():
            raise SystemExit(f"no run was recorded in {self.out}")
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return facts

    def ended(self) -> bool:
        """Whether the run came to its end by itself (it was not killed and is not running)."""
        return any(mark["name"] == "ended" for mark in self.marks())
