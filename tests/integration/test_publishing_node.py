# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switch back, with another node in the inventory's first place than the one that feeds the source."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ansible_collections.crossover.pgedge.plugins.module_utils._errors import CrossoverError
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_control import NODE, SOURCE
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_links import check_feed
from ansible_collections.crossover.pgedge.plugins.module_utils._migration_sides import Link
from support.database import Database, _conninfo

BACK = "crossover_shop_back"
LINK = Link(NODE, SOURCE, BACK, BACK, BACK)


@pytest.fixture
def fed(source_db: Database, target_db: Database) -> Iterator[None]:
    """The node feeds the source."""
    for side in (source_db, target_db):
        side.as_owner("CREATE TABLE t (id bigint PRIMARY KEY)")
    target_db.sql(f"CREATE PUBLICATION {BACK} FOR TABLE t", superuser=True)
    target_db.sql(f"SELECT pg_create_logical_replication_slot('{BACK}', 'pgoutput')", superuser=True)
    source_db.sql(
        f"CREATE SUBSCRIPTION {BACK} CONNECTION '{_conninfo(target_db.login)}' PUBLICATION {BACK} "
        f"WITH (create_slot = false, copy_data = false, slot_name = '{BACK}')",
        superuser=True,
    )
    yield
    source_db.sql(f"DROP SUBSCRIPTION {BACK}", superuser=True)


def test_it_is_named(source_db: Database, target_db: Database, fed: None) -> None:
    with source_db.connect() as source, target_db.connect() as one, source_db.connect() as other:
        until = time.monotonic() + 30
        while True:
            try:
                check_feed(source, one, LINK, {"node n1": one, "node n2": other})
                break
            except CrossoverError:
                assert time.monotonic() < until
                time.sleep(0.2)
        with pytest.raises(CrossoverError) as refused:
            check_feed(source, other, LINK, {"node n2": other, "node n1": one})
    assert "is fed by node n1, which is not the first of the nodes in the inventory" in refused.value.message
    assert refused.value.hint and refused.value.hint.startswith("put node n1 first in the group pgedge again")
