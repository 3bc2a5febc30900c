# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about sequences on several nodes: what each choice would mean (private to the collection)."""

from __future__ import annotations

from typing import Iterator

from ._migration_assess_facts import Facts, SequenceFacts, Wanted
from ._migration_assess_finding import BLOCKER, INFO, WARNING, Finding, rule, shorten
from ._migration_assess_rules_mesh import nodes
from ._migration_sequences_choice import KEEP, OFFSET, SNOWFLAKE, when_to_convert

NARROW = ("smallint", "integer")
SOON = 1_000_000  # values for each node; below it a person should look


def left_for_each(sequence: SequenceFacts, stride: int) -> int:
    """How many values each node has; a narrower column ends the range earlier."""
    low, high = {"smallint": (-(2**15), 2**15 - 1), "integer": (-(2**31), 2**31 - 1)}.get(
        sequence.column_type or "", (sequence.minimum, sequence.maximum)
    )
    low, high = max(low, sequence.minimum), min(high, sequence.maximum)
    if sequence.cycle or sequence.last_value is None:
        room = high - low + 1
    else:
        room = high - sequence.last_value if sequence.increment > 0 else sequence.last_value - low
    return max(0, room // abs(sequence.increment)) // stride


def followers(facts: Facts, sequence: SequenceFacts) -> list[str]:
    """The tables that refer to the table that draws from it."""
    table = (sequence.column or "").rpartition(".")[0]
    return sorted({name for _key, name, refers in facts.foreign_keys if refers == table and name != table})


@rule("sequence_too_small", "sequence_offset", "sequence_keep")
def shared(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """Values of their own for all nodes, or the same for all."""
    choice = wanted.sequences
    stride = max(choice.stride, wanted.nodes)
    if stride < 2:
        return
    plain: list[str] = []
    for sequence in facts.sequences:
        how = choice.at_cutover(sequence.name)
        each = left_for_each(sequence, stride)
        if how == KEEP:
            yield Finding(
                "sequence_keep",
                WARNING,
                sequence.name,
                "Every node goes on from the source's position and draws the same values: rows of two nodes collide.",
                "Let one node only draw from it, or choose offset or snowflake.",
            )
        elif each < 1 and left_for_each(sequence, 1) > 0:
            yield Finding(
                "sequence_too_small",
                BLOCKER,
                sequence.name,
                f"Not every one of {stride} nodes would have a value of its own left.",
                "Widen it, or make an exception (crossover_sequence_exceptions: keep) and draw on one node only.",
            )
        else:
            plain.append(sequence.name)
            if sequence.column_type in NARROW and each < SOON and not sequence.cycle:
                follow = followers(facts, sequence)
                also = f" and the tables that refer to it ({shorten(follow, 3)})" if follow else ""
                yield Finding(
                    "sequence_offset",
                    WARNING,
                    sequence.name,
                    f"{sequence.column} is {sequence.column_type}: with a stride of {stride} each node has {each} "
                    "values left, "
                    f"1 in {stride} of what the source had, if only one node draws.",
                    f"Make the column{also} bigint on the source before the migration.",
                )
    if plain:
        narrow = [s for s in facts.sequences if s.column_type in NARROW and s.name in plain]
        last = min((left_for_each(s, stride) for s in narrow), default=None)
        meaning = (
            f"{len(plain)} sequence(s) get INCREMENT times {stride} and a start of its own on each node "
            f"({shorten(plain, 3)}): "
            "values stay short and unique, with gaps and not in order of time."
        )
        if last is not None:
            meaning += (
                f" {len(narrow)} of them fill columns of 32 bits or less; the shortest lasts {last} rows on each node."
            )
        yield Finding(
            "sequence_offset",
            INFO,
            "source",
            meaning,
            "crossover_sequence_stride above the number of nodes leaves room for more nodes.",
        )


@rule("snowflake_waits", "snowflake_clients", "snowflake_not_drawn", "snowflake_number", "no_snowflake")
def snowflakes(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """What drawing snowflakes would mean, for those for which it was chosen."""
    chosen = [s for s in facts.sequences if wanted.sequences.chosen(s.name) == SNOWFLAKE]
    if not chosen:
        return
    for sequence in chosen:
        follow = followers(facts, sequence)
        wide = sequence.column_type == "bigint"
        when = when_to_convert(SNOWFLAKE, sequence.column is not None, wide)
        if when == "never":
            yield Finding(
                "snowflake_not_drawn",
                WARNING,
                sequence.name,
                "No column draws from it: once converted, nextval() of the application would fail, so it is shared "
                "by offset.",
                "Make an exception for it (crossover_sequence_exceptions), or call snowflake.nextval() in the "
                "application.",
            )
        elif when == "finish":
            also = f" So do the columns that refer to it, in {shorten(follow, 3)}." if follow else ""
            yield Finding(
                "snowflake_waits",
                WARNING,
                sequence.name,
                f"{sequence.column} is {sequence.column_type}, and a snowflake id has 64 bits: it becomes int8 on "
                "the nodes "
                f"only when finish has closed the way back.{also}",
                "Make them bigint on the source first, or plan for the rewrite of the tables at finish "
                "(crossover_snowflake_rewrite).",
            )
    names = [s.name for s in chosen if s.column]
    if names:
        yield Finding(
            "snowflake_clients",
            INFO,
            "source",
            f"{len(names)} sequence(s) will draw ids of up to 19 digits ({shorten(names, 3)}): clients that hold "
            "them in 32 bits, or "
            "in the numbers of JavaScript (53 bits), get them wrong; lastval() and nextval() on them no longer work.",
            "Look at the application's types, and at what it sends as JSON.",
        )
    numbers: dict[str, list[str]] = {}
    for node in nodes(facts):
        if node.spock and node.extensions.get("snowflake") is None:
            yield Finding(
                "no_snowflake",
                BLOCKER,
                node.name,
                f"The node {node.name} does not have the extension snowflake.",
                "Install pgEdge's package for it, or choose offset.",
            )
        number = node.settings.get("snowflake.node")
        numbers.setdefault(number or "", []).append(node.name)
    for number, names in numbers.items():
        if number and (len(names) > 1 or not 1 <= int(number) <= 1023):
            yield Finding(
                "snowflake_number",
                BLOCKER,
                ", ".join(names),
                f"snowflake.node is {number} on {', '.join(names)}: each node needs a number of its own, 1 to 1023, "
                "or they draw "
                "the same ids.",
                "Set snowflake.node (the role node does) and reload.",
            )


@rule("sequence_choices")
def choices(facts: Facts, wanted: Wanted) -> Iterator[Finding]:
    """For narrow keys that are drawn: what the other choice would mean."""
    if max(wanted.sequences.stride, wanted.nodes) < 2:
        return
    for sequence in facts.sequences:
        if sequence.column_type in NARROW and wanted.sequences.chosen(sequence.name) == OFFSET:
            follow = followers(facts, sequence)
            also = f", and so must the columns that refer to it in {shorten(follow, 3)}" if follow else ""
            yield Finding(
                "sequence_choices",
                INFO,
                sequence.name,
                f"{sequence.column} is {sequence.column_type}. offset: it stays so. snowflake: it must become "
                f"bigint{also}, "
                "and clients must hold 64 bits. keep: one node only may draw.",
                "",
            )
