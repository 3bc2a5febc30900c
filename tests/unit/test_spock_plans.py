# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would be done to Spock's nodes, sets and subscriptions, without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils import _spock_node as node
from ansible_collections.crossover.pgedge.plugins.module_utils import _spock_repset as repset
from ansible_collections.crossover.pgedge.plugins.module_utils import _spock_subscription as subscription
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_connect import Login
from ansible_collections.crossover.pgedge.plugins.module_utils._pg_sql import hide
from ansible_collections.crossover.pgedge.plugins.module_utils._spock_node import Node
from ansible_collections.crossover.pgedge.plugins.module_utils._spock_repset import Member, Repset
from ansible_collections.crossover.pgedge.plugins.module_utils._spock_subscription import SpockSubscription, Wanted
from ansible_collections.crossover.pgedge.plugins.module_utils._spock_version import SpockVersion

LOGIN = Login(host="n1", label="server")
ALL = {"insert": True, "update": True, "delete": True, "truncate": True}
AS_IT_IS: dict[str, bool | None] = dict.fromkeys(ALL)
SUB = SpockSubscription(
    "sub", 1, "n1", "n1", {"n1": {"host": "a", "password": "x"}}, True, "replicating", "spk_d_n1_sub", ("default",)
)


def lines(steps: Any) -> list[str]:
    return [str(step) for step in steps]


def test_versions() -> None:
    assert [SpockVersion(text).major for text in ("5.0.11", "6.0.0-beta1", "10.1")] == [5, 6, 10]


@pytest.mark.parametrize("secret", ["plain", "p w", "it's", 'q"q', "back\\slash", "a'b\\c d"])
def test_a_password_never_shows(secret: str) -> None:
    dsn = {"host": secret, "password": secret, "sslpassword": secret}
    (create,) = node.plan(Node("n1", dsn), None, LOGIN)
    (add,) = node.plan(Node("n1", interfaces={"wan": dsn}), Node("n1", dsn), LOGIN)
    (sub,) = subscription.plan(Wanted("sub", dsn), None, 5, LOGIN).steps
    for step in (create, add, sub):
        assert str(step).count("********") == 2 and step.sql != str(step)
    error = f"could not connect (dsn was: host=a password={node.literals({'password': secret})[0]})"
    assert secret not in hide(error, [secret])


def test_node() -> None:
    own, wan = {"host": "a"}, {"host": "b"}
    made = node.plan(Node("n1", own, {"wan": wan}, "Köln's", None, {"b": 1, "a": "'"}), None, LOGIN)
    assert lines(made) == [
        "SELECT spock.node_create('n1', 'host=a', location := 'Köln''s', info := '{\"a\": \"''\", \"b\": 1}'::jsonb)",
        "SELECT spock.node_add_interface('n1', 'wan', 'host=b')",
    ]
    there = Node("n1", own, {"wan": wan, "other": None}, "here", "DE", {"a": 1})
    assert node.plan(Node("n1"), there, LOGIN) == []
    assert node.plan(Node("n1", own, {"wan": wan}, "here", "DE", {"a": 1}), there, LOGIN) == []
    changed = node.plan(Node("n1", interfaces={"other": wan}), there, LOGIN)
    assert lines(changed) == [
        "SELECT spock.node_drop_interface('n1', 'other')", "SELECT spock.node_add_interface('n1', 'other', 'host=b')",
    ]  # fmt: skip
    assert node.predicted(Node("n1", interfaces={"other": wan}), there).interfaces == {"wan": wan, "other": wan}
    with pytest.raises(CrossoverError, match="other location and info and dsn, which Spock cannot change"):
        node.plan(Node("n1", wan, location="there", info={}), there, LOGIN)
    with pytest.raises(CrossoverError, match="other dsn"):
        node.plan(Node("n1", own), replace(there, dsn=None), LOGIN)


def test_repset() -> None:
    new = Repset("eu", {**AS_IT_IS, "truncate": False}, {'s."A b"': Member(("id", "x'y"), "x > 'a'")}, ["s.q"])
    made = repset.plan(new, None, False)
    assert lines(made) == [
        "SELECT spock.repset_create('eu', replicate_truncate := false)",
        (
            "SELECT spock.repset_add_table('eu', 's.\"A b\"'::regclass, synchronize_data := false, "
            "columns := ARRAY['id', 'x''y'], row_filter := 'x > ''a''', include_partitions := false)"
        ),
        "SELECT spock.repset_add_seq('eu', 's.q'::regclass)",
    ]
    assert repset.predicted(new, None, False).operations == {**ALL, "truncate": False}
    there = Repset("eu", ALL, {"s.a": Member(("x", "id")), "s.b": Member()}, ["s.q", "s.r"])
    same = Repset("eu", AS_IT_IS, {"s.a": Member(("id", "x"))}, None)
    assert repset.plan(same, there, False) == []
    assert lines(repset.plan(same, there, True)) == [
        "SELECT spock.repset_remove_table('eu', 's.b'::regclass, include_partitions := false)"
    ]
    assert repset.plan(Repset("eu", AS_IT_IS, None, None), there, True) == []
    assert repset.plan(Repset("eu", AS_IT_IS, {}, ()), there, False) == []
    assert len(repset.plan(Repset("eu", AS_IT_IS, {}, ()), there, True)) == 4
    after = repset.predicted(same, there, True)
    assert set(after.tables or ()) == {"s.a"} and set(after.sequences or ()) == {"s.q", "s.r"}


def test_a_table_leaves_before_the_set_replicates_updates() -> None:
    there = Repset("eu", {**ALL, "update": False, "delete": False}, {"s.log": Member(), "s.a": Member(None, "(x > 1)")})
    steps = lines(repset.plan(Repset("eu", ALL, {"s.a": Member()}, None), there, True))
    assert [step.split("(")[0].split(".")[1] for step in steps] == [
        "repset_remove_table", "repset_remove_table", "repset_alter", "repset_add_table",
    ]  # fmt: skip


def test_subscription() -> None:
    (made,) = subscription.plan(
        Wanted("sub", {"host": "a"}, (), False, ("all",), 1.5, True, ("x", "y's")), None, 5, LOGIN
    ).steps
    assert str(made) == (
        "SELECT spock.sub_create('sub', 'host=a', replication_sets := ARRAY[]::text[], synchronize_structure := false, "
        "synchronize_data := false, forward_origins := ARRAY['all']::text[], apply_delay := '1.5 seconds', "
        "force_text_transfer := true, enabled := false, skip_schema := ARRAY['x', 'y''s']::text[])"
    )
    assert subscription.plan(Wanted("sub"), SUB, 5, LOGIN).steps == []
    same = Wanted("sub", SUB.dsn, ("default",), True, (), 0.0, False, (), "0/0")
    assert subscription.plan(same, SUB, 5, LOGIN).steps == []
    plan = subscription.plan(Wanted("sub", sets=("b", "a"), enabled=False), SUB, 5, LOGIN)
    assert lines(plan.change) == [
        "SELECT spock.sub_add_repset('sub', 'a')", "SELECT spock.sub_add_repset('sub', 'b')",
        "SELECT spock.sub_remove_repset('sub', 'default')",
    ]  # fmt: skip
    assert lines(plan.switch) == ["SELECT spock.sub_disable('sub', immediate := true)"]


def test_what_only_spock_6_can_change() -> None:
    want = Wanted("sub", forward_origins=("all",), apply_delay=2.0, skip_schema=())
    assert lines(subscription.plan(want, SUB, 6, LOGIN).steps) == [
        'SELECT spock.sub_alter_options(\'sub\', \'{"apply_delay": "2 seconds", "forward_origins": ["all"]}\'::jsonb)'
    ]
    with pytest.raises(CrossoverError, match="other apply_delay and forward_origins, which Spock 5 cannot change"):
        subscription.plan(want, SUB, 5, LOGIN)
    for major in (5, 6):
        with pytest.raises(CrossoverError, match=f"other force_text_transfer, which Spock {major} cannot change"):
            subscription.plan(Wanted("sub", force_text_transfer=True), SUB, major, LOGIN)


def test_interfaces() -> None:
    want = Wanted("sub", {"host": "b", "password": "x"})
    assert lines(subscription.plan(want, SUB, 5, LOGIN).steps) == [
        "SELECT spock.node_add_interface('n1', 'n1_2', 'host=b password=********')",
        "SELECT spock.sub_alter_interface('sub', 'n1_2')",
    ]
    on_two = replace(SUB, interface="n1_2", interfaces={**SUB.interfaces, "n1_2": want.dsn})
    assert subscription.plan(want, on_two, 5, LOGIN).steps == []
    back = ["SELECT spock.sub_alter_interface('sub', 'n1')", "SELECT spock.node_drop_interface('n1', 'n1_2')"]
    assert lines(subscription.plan(Wanted("sub", SUB.dsn), on_two, 5, LOGIN).steps) == back
    assert lines(subscription.plan(Wanted("sub", SUB.dsn), replace(on_two, shared=True), 5, LOGIN).steps) == back[:1]
    assert subscription.predicted(want, SUB)["interface"] == "n1_2"


@pytest.mark.parametrize(
    ("wanted", "stored", "applied", "set_"),
    [
        ("0/0", "0/0", "0/5", False),
        ("0/0", "0/9", "0/5", True),
        ("0/9", "0/9", "0/5", False),
        ("0/9", "0/0", "0/5", True),
        ("0/9", "0/0", "0/9", True),  # it has failed, and stopped the subscription
        ("0/9", "0/0", "0/A", False),  # it is behind us
        ("1/0", "0/0", "0/FFFFFFFF", True),
    ],
)
def test_skip(wanted: str, stored: str, applied: str, set_: bool) -> None:
    there = replace(SUB, skip_lsn=stored, applied=applied)
    assert subscription.skips(Wanted("sub", skip_lsn=wanted), there) is set_
    assert len(subscription.plan(Wanted("sub", skip_lsn=wanted), there, 5, LOGIN).steps) == set_
    assert subscription.predicted(Wanted("sub", skip_lsn=wanted), there)["skip_lsn"] == (wanted if set_ else stored)
