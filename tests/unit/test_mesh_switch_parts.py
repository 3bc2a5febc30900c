# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch on a mesh, as far as it can be told without servers: places and links, clocks, what the status says."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_clock import Offset, skew
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_mesh_ready import away, check_landing
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_names import Names
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_route import NoRoute
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sides import Limits, Migration, further_nodes
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_status_nodes import node_lines
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_catalog import Scope
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login


def migration(direction: str = "forward", *further: str, landing: bool = True, way_back: bool = True) -> Migration:
    logins = {"source": Login(label="source"), "node": Login(label="n1")}
    options = {"name": "shop", "node": "n1", "further_nodes": [{"name": name, "landing": landing} for name in further]}
    nodes = further_nodes(options)
    names = Names.of("shop", "n1")
    return Migration("shop", direction, logins, NoRoute, names, Scope(), Limits(), way_back, further=nodes)


def test_places_and_links_of_one_node_are_what_they_were() -> None:
    forward, back = migration(), migration("back")
    assert forward.everywhere == ["source", "node"] and forward.named("node") == "node"
    assert [link.subscription for link in forward.feeds] == ["crossover_shop_n1"]
    assert [link.slot for link in forward.opposites] == ["crossover_shop_back"]
    assert migration(way_back=False).opposites == []
    assert (back.feeds, back.opposites) == (forward.opposites, forward.feeds)


def test_every_landing_node_has_a_feed_and_only_the_first_publishes() -> None:
    forward = migration("forward", "n2", "n3")
    assert forward.places("node") == ["node", "n2", "n3"] and forward.named("n2") == "node n2"
    assert [(link.publisher, link.subscriber, link.slot) for link in forward.feeds] == [
        ("source", "node", "crossover_shop_n1"),
        ("source", "n2", "crossover_shop_n2"),
        ("source", "n3", "crossover_shop_n3"),
    ]
    assert [(link.publisher, link.subscriber) for link in forward.opposites] == [("node", "source")]
    assert forward.sequences.stride == 3, "sequences are shared among all nodes"
    assert forward.turned().feeds == forward.opposites


@pytest.mark.parametrize("name", ["n1", "source", "node"])
def test_a_name_that_is_another_servers(name: str) -> None:
    with pytest.raises(CrossoverError, match=f"{name} cannot be the name of a further node"):
        migration("forward", name)


def test_forward_every_node_must_be_fed() -> None:
    check_landing(migration("forward", "n2"))
    check_landing(migration("back", "n2", landing=False))
    with pytest.raises(CrossoverError, match="n2 would get nothing of what is written on the source"):
        check_landing(migration("forward", "n2", landing=False))


def test_a_node_that_is_away_stops_the_way_back_in_plain_words() -> None:
    gone = CrossoverError("cannot connect as crossover: Connection refused", code="unreachable")
    back = migration("back", "n2")
    assert "what was written on n2 may not have reached n1" in str(away(back, "n2", gone))
    assert "goes to the source through n1, which cannot be reached" in str(away(back, "node", gone))
    assert away(migration("forward", "n2"), "n2", gone) is gone
    wrong = CrossoverError("cannot connect", code="bad_password")
    assert away(back, "n2", wrong) is wrong and away(back, "source", gone) is gone


@pytest.mark.parametrize(
    ("source", "n1", "n2", "seconds", "slow", "fast"),
    [
        (0.0, 0.0, 0.0, 0.0, "n1", "source"),
        (4.0, 0.0, 0.0, 3.98, "n1", "source"),
        (0.0, 9.0, 9.0, 0.0, "n1", "n1"),  # nodes that are ahead of the source lose nothing
        (0.0, 3.0, 1.0, 1.98, "n2", "n1"),
        (0.0, -2.0, 0.0, 1.98, "n1", "source"),
    ],
)
def test_the_skew_that_counts(source: float, n1: float, n2: float, seconds: float, slow: str, fast: str) -> None:
    offsets = {name: Offset(at - 0.01, at + 0.01) for name, at in (("source", source), ("n1", n1), ("n2", n2))}
    found = skew(offsets, ["n1", "n2"])
    assert found[1:] == (slow, fast) and found[0] == pytest.approx(seconds)


def node(name: str | None = None, **mesh: str) -> dict[str, Any]:
    """As look_at_nodes tells of it; one without a name in Spock cannot be reached."""
    reachable = name is not None
    problem = "" if reachable else "no answer"
    return {"reachable": reachable, "problem": problem, "fenced": False, "spock_node": name, "mesh": mesh}


def states() -> dict[str, dict[str, Any]]:
    return {
        "n1": node("edge1", edge2="replicating"),
        "n2": node("edge2", edge1="replicating"),
    }


def test_what_the_status_says_of_the_nodes() -> None:
    assert node_lines({"n1": node("edge1")}, True) == []
    assert node_lines(states(), True) == ["  mesh         : n1, n2: every pair replicates (n1 feeds the source)"]
    broken = states()
    broken["n2"]["mesh"]["edge1"] = "disabled"
    broken["n2"]["fenced"] = True
    assert node_lines(broken, True) == [
        "  n2: the subscription to n1 is disabled",
        "  n2 is still fenced: run crossover.pgedge.cutover again",
    ]
    assert node_lines(broken, False) == ["  n2: the subscription to n1 is disabled"]
    lost = {**states(), "n1": node()}
    text = "\n".join(node_lines(lost, True))
    assert "the application goes on on n2; n1 is the publishing node" in text and "refuses until then" in text
    assert "docs/cutover.md says how the migration is closed without n1" in text
    assert "rollback waits for its return" in "\n".join(node_lines({**states(), "n2": node()}, True))
