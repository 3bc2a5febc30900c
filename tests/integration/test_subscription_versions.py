# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every parameter of a subscription, set and altered, on each PostgreSQL that is here: 15 (Debian's), 16, 18."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cluster import Cluster, wheel_bindir
from support.database import Database

DEBIAN = {version: Path(f"/usr/lib/postgresql/{version}/bin") for version in (15, 17)}
# parameter -> (first version, another value than the default, as pg_subscription has it, first version that alters it)
PARAMETERS = {
    "binary": (15, True, {"subbinary": True}, 15),
    "streaming": (15, "on", {"substream": {15: True, 16: "t", 17: "t", 18: "t"}}, 15),
    "two_phase": (15, True, {"subtwophasestate": "pe"}, 18),
    "disable_on_error": (15, True, {"subdisableonerr": True}, 15),
    "synchronous_commit": (15, "remote_write", {"subsynccommit": "remote_write"}, 15),
    "password_required": (16, False, {"subpasswordrequired": False}, 16),
    "run_as_owner": (16, True, {"subrunasowner": True}, 16),
    "origin": (16, "none", {"suborigin": "none"}, 16),
    "failover": (17, True, {"subfailover": True}, 17),
}
BACK = {"streaming": "off", "synchronous_commit": "off", "origin": "any"}


@pytest.fixture(scope="module", params=[15, 16, 17, 18])
def cluster(request):
    version = request.param
    if version in DEBIAN and not DEBIAN[version].exists():
        pytest.skip(f"there is no PostgreSQL {version} here")
    cluster = Cluster(DEBIAN.get(version) or wheel_bindir(version), node=True, fast=True)
    try:
        yield cluster.create()
    finally:
        cluster.remove()


@pytest.fixture
def pair(cluster):
    """Two databases of one server: a publisher with two empty tables, and who subscribes."""
    found = Database(cluster).create(), Database(cluster).create()
    for db in found:
        db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    found[0].sql("CREATE PUBLICATION p FOR TABLE t")
    yield found
    for db in reversed(found):
        db.drop()


@pytest.fixture
def subscription(pair, run_module):
    publisher, subscriber = pair
    name = f"s_{subscriber.name}"
    publisher.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
    publisher.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [f"{name}_2"])
    login = publisher.login
    connparams = {"host": "127.0.0.1", "port": login["login_port"], "user": login["login_user"]}
    connparams |= {"password": login["login_password"], "dbname": publisher.name}

    def run(check=False, **args):
        options = {**subscriber.login, "name": name, "publications": ["p"], "connparams": connparams, **args}
        return run_module("subscription", options, check=check)

    run.name, run.db, run.version = name, subscriber, publisher.cluster.version
    return run


def row(subscription):
    return subscription.db.sql("SELECT * FROM pg_subscription WHERE subname = %s", [subscription.name])[0]


def stands(subscription, names):
    found = row(subscription)
    for name in names:
        ((column, value),) = PARAMETERS[name][2].items()
        value = value[subscription.version] if isinstance(value, dict) else value
        assert found[column] in value if column == "subtwophasestate" else found[column] == value, name


def done(subscription, **args):
    """Check mode plans what is done, and the second time nothing is."""
    checked, found = subscription(check=True, **args), subscription(**args)
    assert not found["failed"] and found["changed"], found
    assert found["queries"] == checked["queries"]
    again = subscription(**args)
    assert not again["changed"] and again["queries"] == [], again
    return found


def test_set_when_it_is_created(subscription):
    known = {name: value for name, (since, value, *_rest) in PARAMETERS.items() if subscription.version >= since}
    # a server that subscribes to itself cannot create the slot too: test_subscription.py has that with two servers
    new = {"create_slot": False, "slot_name": f"{subscription.name}_2", "copy_data": False, "connect": True}
    made = done(subscription, subsparams={**known, **new})
    stands(subscription, known)
    assert row(subscription)["subslotname"] == f"{subscription.name}_2"
    for name, value in known.items():
        key = {"synchronous_commit": "synccommit"}.get(name, name)
        assert made["final_state"][key] == {"on": True}.get(value, value)
    assert subscription(state="absent")["remaining_slots"] == []


def test_without_a_connection_it_begins_disabled(subscription):
    how = {"connect": False, "slot_name": None}
    checked, made = subscription(check=True, subsparams=how), subscription(subsparams=how)
    assert made["changed"] and made["final_state"]["enabled"] is False, made
    assert checked["diff"]["after"]["enabled"] is False


def test_altered(subscription):
    """One by one to another value and back, enabled all the while but for the moment that PostgreSQL wants."""
    done(subscription, subsparams={"create_slot": False, "slot_name": subscription.name})
    for name, (since, value, _column, alter_since) in PARAMETERS.items():
        if subscription.version < since:
            refused = subscription(subsparams={name: value})
            assert refused["failed"] and f"PostgreSQL {since}" in refused["msg"], refused
            continue
        if subscription.version < alter_since:
            refused = subscription(subsparams={name: value})
            assert refused["failed"] and f"changed by PostgreSQL {alter_since}" in refused["msg"], refused
            continue
        done(subscription, subsparams={name: value})
        stands(subscription, [name])
        done(subscription, subsparams={name: BACK.get(name, not value)})
        assert row(subscription)["subenabled"]


def test_slot_name_and_enabled(subscription):
    done(subscription, subsparams={"create_slot": False, "slot_name": subscription.name})
    found = done(subscription, subsparams={"slot_name": f"{subscription.name}_2"})
    assert found["queries"] == [f"ALTER SUBSCRIPTION {subscription.name} SET (slot_name = {subscription.name}_2)"]
    done(subscription, subsparams={"enabled": False, "slot_name": "none"})
    assert row(subscription)["subslotname"] is None
    done(subscription, subsparams={"enabled": True, "slot_name": subscription.name})
    done(subscription, skip_lsn="FF/FF000000")
    done(subscription, skip_lsn="none", comment="it's ours")


def test_a_change_that_fails_leaves_it_enabled(subscription):
    """A subscription is disabled for some changes: one that fails then must not leave it standing still."""
    if subscription.version < 17:
        pytest.skip("nothing that this version alters wants a disabled subscription")
    done(subscription, subsparams={"create_slot": False, "slot_name": subscription.name})
    subscription(subsparams={"slot_name": "no_such_slot"})
    failed = subscription(subsparams={"failover": True})
    assert failed["failed"] and "no_such_slot" in failed["msg"] and "enabled again" in failed["msg"], failed
    assert row(subscription)["subenabled"]
    assert subscription(subsparams={"slot_name": subscription.name})["changed"]
