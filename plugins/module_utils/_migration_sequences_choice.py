# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the nodes of a mesh share a sequence: what was chosen, and when it comes about (private to the collection)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._errors import CrossoverError

OFFSET, SNOWFLAKE, KEEP = "offset", "snowflake", "keep"
HOWS = (OFFSET, SNOWFLAKE, KEEP)


@dataclass(frozen=True)
class Choice:
    """``numbers`` are the nodes', in the order of their connections: node k of ``stride`` has the k-th class."""

    how: str = ""
    exceptions: Mapping[str, str] = field(default_factory=dict)  # by full name
    stride: int = 1
    numbers: tuple[int, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any], present: Iterable[str]) -> Choice:
        """From the option ``sequences`` of modules. ``present``: the names of the nodes that are at work."""
        present = list(present)
        order = list(options["nodes"]) or present
        stride = options["stride"] or len(order)
        exceptions = {one["sequence"]: one["how"] for one in options["exceptions"]}
        missing = [name for name in present if name not in order]
        if (
            missing
            or stride < len(order)
            or len(set(order)) < len(order)
            or len(exceptions) < len(options["exceptions"])
        ):
            raise CrossoverError(
                f"node {missing[0]} is not among the nodes of the option sequences"
                if missing
                else f"a stride of {stride} is too small for {len(order)} nodes"
                if stride < len(order)
                else "a name is given twice in the option sequences",
                code="bad_option",
                untouched="nothing was changed",
                hint="name every node once, in the order of the inventory, and raise the stride to their number",
            )
        return cls(options["how"] or "", exceptions, stride, tuple(order.index(name) for name in present))

    def chosen(self, name: str) -> str:
        """What was chosen for a sequence; without a choice, offset on several nodes."""
        return self.exceptions.get(name) or self.how or (OFFSET if self.stride > 1 else KEEP)

    def at_cutover(self, name: str) -> str:
        """How its positions are carried: one that will draw snowflakes shares by offset until then."""
        how = self.chosen(name)
        return OFFSET if how == SNOWFLAKE and self.stride > 1 else KEEP if how == SNOWFLAKE else how

    def number(self, index: int) -> int:
        """The class of the node with this connection."""
        return self.numbers[index] if self.numbers else index

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Exceptions for sequences that are not there."""
        return sorted(set(self.exceptions) - set(names))


def when_to_convert(how: str, drawn: bool, wide: bool) -> str:
    """``prepare``, ``finish`` or ``never``.

    ``drawn``: a column draws from the sequence. One that only the application calls would refuse its nextval().
    ``wide``: the source's column, and all that refer to it, have 64 bits. Where one has not, a snowflake id ends the
    way back, so the conversion waits until ``finish`` has closed it.
    """
    if how != SNOWFLAKE or not drawn:
        return "never"
    return "prepare" if wide else "finish"
