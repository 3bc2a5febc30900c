# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log sequence numbers (private to the collection)."""

from __future__ import annotations


class Lsn(int):
    """A WAL position: compares and subtracts as a number of bytes, prints as PostgreSQL's pg_lsn."""

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Read ``16/B374D848``; ValueError when it is no pg_lsn."""
        high, sep, low = text.partition("/")
        if not sep:
            raise ValueError(f"not a pg_lsn: {text!r}")
        return cls((int(high, 16) << 32) | int(low, 16))

    @classmethod
    def maybe(cls, text: str | None) -> Lsn | None:
        """As :meth:`parse`, with SQL's NULL."""
        return None if text is None else cls.parse(text)

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    __repr__ = __str__
