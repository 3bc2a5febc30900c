#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: subscription
short_description: Create, change, refresh or drop a subscription
version_added: "0.1.0"
description:
  - Manages one subscription of one database.
  - Takes the options of M(community.postgresql.postgresql_subscription) with the same meaning. Every parameter that
    PostgreSQL 14 to 18 can change is compared and changed, passwords never show, and a subscription whose publisher is
    gone can be dropped.
options:
  name:
    description: Name of the subscription.
    type: str
    required: true
  state:
    description:
      - V(present) creates or changes it.
      - V(absent) drops it together with its slot on the publisher. When the publisher cannot be reached, the
        subscription is dropped without, and RV(remaining_slots) and a warning say which slot remains there.
      - V(refresh) takes up tables that the publications have gained or lost.
    type: str
    default: present
    choices: [absent, present, refresh]
  publications:
    description: The publications to subscribe to. Needed to create.
    type: list
    elements: str
  connparams:
    description:
      - How the server that subscribes reaches the publisher, by libpq's parameter names. Needed to create.
      - Compared with what is there as a whole, the password included. Where the login may not read
        C(pg_subscription.subconninfo), a warning says so and the rest is compared; see O(force_connparams).
    type: dict
  force_connparams:
    description:
      - Set O(connparams) also where they cannot be compared. Then every run reports a change.
    type: bool
    default: false
  subsparams:
    description:
      - Parameters of C(CREATE SUBSCRIPTION) - C(enabled), C(slot_name), C(synchronous_commit), C(binary), C(streaming),
        C(two_phase), C(disable_on_error), C(origin), C(password_required), C(run_as_owner), C(failover), as far as the
        server has them. All can be changed later too (C(two_phase) by PostgreSQL 18); where PostgreSQL wants the
        subscription disabled for that, it is disabled, and enabled again.
      - C(connect), C(create_slot) and C(copy_data) say how to create, and mean nothing for a subscription that exists;
        C(copy_data) is also heeded when tables are added by O(publications) or O(state=refresh).
    type: dict
  skip_lsn:
    description:
      - Skip the one transaction that finished at this LSN on the publisher, because its changes cannot be applied
        (PostgreSQL 15). The whole transaction is left out - compare its tables afterwards.
      - V(none) takes back a skip that has not happened yet.
      - A transaction that has been passed already is no change.
    type: str
  owner:
    description: Owner of the subscription.
    type: str
  cascade:
    description: With O(state=absent), add C(CASCADE).
    type: bool
    default: false
  comment:
    description: Comment on the subscription; an empty string removes it.
    type: str
  timeout:
    description:
      - Seconds that one statement may take. A statement that talks to the publisher waits for it, and creating a slot
        waits for every transaction that is open there.
      - V(0) leaves it to the server's C(statement_timeout).
    type: int
    default: 60
  trust_input:
    description:
      - With V(false), values that look like SQL are refused, as in community.postgresql. Names and values are quoted
        whatever this says.
    type: bool
    default: true
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description:
      - Nothing is changed. RV(queries) is what would run.
      - For O(state=refresh) the publisher is asked for its tables, if the login may read the connection and the runner
        reaches the publisher; if not, a change is assumed and a warning says so.
  diff_mode:
    support: full
    description: Shows the subscription before and after, without passwords.
  idempotent:
    support: partial
    description: The same input twice changes nothing, unless O(force_connparams) is set.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.publication
  - module: crossover.pgedge.slot
  - module: crossover.pgedge.replication_wait
  - name: CREATE SUBSCRIPTION
    description: PostgreSQL's documentation of the statement.
    link: https://www.postgresql.org/docs/current/sql-createsubscription.html
"""

EXAMPLES = r"""
- name: Subscribe
  crossover.pgedge.subscription:
    login_host: n1.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
    name: crossover_shop_n1
    publications: crossover_shop
    connparams:
      host: db.example.com
      port: 5432
      user: crossover
      password: "{{ source_password }}"
      dbname: shop
      sslmode: verify-full
    subsparams:
      streaming: parallel
      disable_on_error: true

- name: Take up new tables
  crossover.pgedge.subscription:
    login_db: shop
    name: crossover_shop_n1
    state: refresh

- name: Leave out a transaction that cannot be applied
  crossover.pgedge.subscription:
    login_db: shop
    name: crossover_shop_n1
    skip_lsn: 0/14C0378
    subsparams:
      enabled: true

- name: Drop it, also when the publisher is gone
  crossover.pgedge.subscription:
    login_db: shop
    name: crossover_shop_n1
    state: absent
"""

RETURN = r"""
name:
  description: Name of the subscription.
  type: str
  returned: success
  sample: acme
exists:
  description: Whether the subscription is there in the end.
  type: bool
  returned: success
  sample: true
queries:
  description: The statements that were run, or in check mode would be. Passwords are hidden.
  type: list
  elements: str
  returned: success
  sample: ["CREATE SUBSCRIPTION acme CONNECTION 'host=db.example.com password=********' PUBLICATION acme"]
initial_state:
  description: The subscription before; empty if there was none. The password is hidden.
  type: dict
  returned: success
  sample: {enabled: true, owner: postgres, slotname: acme, synccommit: false, conninfo: {host: db.example.com}}
final_state:
  description: The subscription in the end, with the same keys.
  type: dict
  returned: success
  sample: {enabled: true, owner: postgres, slotname: acme, synccommit: false, conninfo: {host: db.example.com}}
tables_added:
  description: Tables that O(state=refresh) took up.
  type: list
  elements: str
  returned: state is refresh
  sample: [public.orders]
tables_removed:
  description: Tables that O(state=refresh) let go.
  type: list
  elements: str
  returned: state is refresh
  sample: []
remaining_slots:
  description: Slots that could not be dropped on the publisher. They keep WAL there until somebody drops them.
  type: list
  elements: str
  returned: state is absent
  sample: []
"""

from typing import Any

from ..module_utils import _replication_conninfo as conninfo
from ..module_utils import _replication_subscription as subscriptions
from ..module_utils import _replication_subscription_actions as actions
from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._pg_connect import Login
from ..module_utils._replication_apply import apply, check_input, ignored, keep_quiet
from ..module_utils._replication_subscription import Subscription
from ..module_utils._replication_subscription_options import check

CHECKED = ("name", "publications", "owner", "session_role", "connparams", "subsparams", "comment")


def present(runner: Runner, conn: Any, login: Login, actual: Subscription | None) -> Outcome:
    """Create or change it."""
    params, version = runner.params, conn.info.server_version
    want = subscriptions.Wanted(
        name=params["name"],
        publications=tuple(params["publications"]) if params["publications"] else None,
        connection=conninfo.wanted(params["connparams"]) if params["connparams"] else None,
        always_connection=params["force_connparams"],
        options=check(params["subsparams"] or {}, version),
        owner=params["owner"],
        comment=params["comment"],
        skip=None if actions.skip_is_over(conn, params["name"], params["skip_lsn"]) else params["skip_lsn"],
    )
    queries = subscriptions.plan(want, actual, version)
    after = subscriptions.predicted(want, actual)
    warnings = []
    if actual and actual.connection is None and want.connection and not want.always_connection:
        warnings.append(
            "'connparams' is ignored because pg_subscription.subconninfo is not accessible to this login: whether they "
            "are what is set cannot be seen. Set force_connparams to set them anyway"
        )
    if queries and not runner.check:
        if secret := conninfo.secrets(want.connection):
            keep_quiet(conn)
        queries = actions.change(conn, login, want, actual, secret)
    return Outcome(bool(queries), queries=queries, after=after, warnings=warnings)


def absent(runner: Runner, conn: Any, login: Login, actual: Subscription | None) -> Outcome:
    """Drop it, and say what remains on the publisher."""
    name, cascade = runner.params["name"], runner.params["cascade"]
    if actual is None:
        return Outcome(result={"remaining_slots": []})
    removed = actions.Removed(subscriptions.drop(name, cascade))
    if not runner.check:
        removed = actions.remove(conn, login, name, actual, cascade)
    warnings = [text for text in [actions.told(name, removed)] if text]
    return Outcome(True, queries=removed.queries, result={"remaining_slots": removed.remaining}, warnings=warnings)


def refresh(runner: Runner, conn: Any, login: Login, actual: Subscription | None) -> Outcome:
    """Refresh it; what has changed is seen in its list of tables."""
    name = runner.params["name"]
    if actual is None or not actual.enabled:
        raise CrossoverError(
            f"Refresh failed: subscription '{name}' {'does not exist' if actual is None else 'is disabled'}",
            code="no_subscription" if actual is None else "disabled",
            server=str(login),
            object=name,
            untouched="nothing was changed",
            hint=None if actual is None else "enable it first (subsparams: enabled: true)",
        )
    copy_data = check(runner.params["subsparams"] or {}, conn.info.server_version).get("copy_data")
    queries, warnings = [subscriptions.refresh(name, copy_data)], []
    before: set[str] = actions.relations(conn, actual.oid)
    now: set[str] | None = None
    if runner.check:
        now = actions.published(actual.connection, actual.publications)
        if now is None:
            warnings.append(
                "the publisher cannot be asked from here: that the refresh would change something is assumed"
            )
    else:
        apply(conn, login, queries, f"the subscription {name} could not be refreshed")
        now = actions.relations(conn, actual.oid)
    after = before if now is None else now
    return Outcome(
        now is None or now != before,
        queries=queries,
        before={**subscriptions.shown(actual), "tables": sorted(before)},
        after={**subscriptions.shown(actual), "tables": sorted(after)},
        result={"tables_added": sorted(after - before), "tables_removed": sorted(before - after)},
        warnings=warnings,
    )


def work(runner: Runner) -> Outcome:
    """Read, plan, apply, read again."""
    params, name, state = runner.params, runner.params["name"], runner.params["state"]
    if not params["trust_input"]:
        check_input(*(params[option] for option in CHECKED))
    login = runner.login(label="server")
    conn = runner.connect(login)
    if params["timeout"]:
        conn.execute("SELECT set_config('statement_timeout', %s, false)", [f"{params['timeout']}s"])
    actual = subscriptions.read(conn, name)
    outcome = {"present": present, "absent": absent, "refresh": refresh}[state](runner, conn, login, actual)

    final = actual if runner.check else subscriptions.read(conn, name)
    if state != "refresh":
        outcome.before = subscriptions.shown(actual) if actual else None
        predicted, outcome.after = outcome.after, subscriptions.shown(final) if final else None
        if outcome.changed and runner.check:
            outcome.after = predicted
        elif outcome.changed and outcome.after and predicted:
            outcome.after["conninfo"] = predicted["conninfo"]  # it marks a password that has changed
    only_present = ["owner", "publications", "connparams", "comment", "skip_lsn"]
    only_present += [] if state == "refresh" else ["subsparams"]
    outcome.warnings += ignored(state, params, only_present, "present") + ignored(state, params, ("cascade",), "absent")
    outcome.result.update(
        name=name,
        exists=final is not None,
        initial_state=subscriptions.shown(actual) if actual else {},
        final_state=subscriptions.shown(final),
    )
    return outcome


def main() -> None:
    """Entry point."""
    run_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["absent", "present", "refresh"]},
            "publications": {"type": "list", "elements": "str"},
            "connparams": {"type": "dict"},
            "force_connparams": {"type": "bool", "default": False},
            "subsparams": {"type": "dict"},
            "skip_lsn": {"type": "str"},
            "owner": {"type": "str"},
            "cascade": {"type": "bool", "default": False},
            "comment": {"type": "str"},
            "timeout": {"type": "int", "default": 60},
        },
        work,
    )


if __name__ == "__main__":
    main()
