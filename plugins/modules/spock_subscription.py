#!/usr/bin/python
# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: spock_subscription
short_description: Manage a subscription of a pgEdge node to another
version_added: "0.1.0"
description:
  - Manages one Spock subscription, through which a node gets what is written on another. A full mesh has one on each
    node to each other node.
  - Needs the extension C(spock), 5.x or 6.x, in both databases, and a superuser.
  - For a native subscription, for example to Aurora, there is M(crossover.pgedge.subscription).
options:
  name:
    description: Name of the subscription, C([a-z0-9_]).
    type: str
    required: true
  state:
    description:
      - V(absent) drops it, with its slot on the provider. Where the provider does not answer, RV(remaining_slots) names
        the slot that is left there.
    type: str
    default: present
    choices: [absent, present]
  provider_dsn:
    description:
      - How this node reaches the provider, as parameters of libpq (C(host), C(port), C(dbname), C(user), C(password),
        …). Needed for a new subscription.
      - Spock stores it as it is, with the password, in this database, and writes it into the server's log when it
        cannot connect. A password file of the server's own (C(passfile), C(~/.pgpass)) keeps the password out of both.
      - Compared as a whole. Another one becomes a further interface of the provider, which is then used; what was used
        before is removed, but for the first one.
      - All new subscriptions of this node to one provider need the same one.
    type: dict
  replication_sets:
    description:
      - The provider's sets that are wanted. A new subscription takes C(default), C(default_insert_only) and C(ddl_sql);
        of an existing one, sets are added and removed.
    type: list
    elements: str
  synchronize_structure:
    description: Take over the provider's schema when the subscription is made.
    type: bool
    default: false
  synchronize_data:
    description: Take over the rows that are there when the subscription is made.
    type: bool
    default: false
  forward_origins:
    description:
      - V([]) takes only what was written on the provider itself, as a full mesh needs it; V([all]) also what came to it
        from elsewhere. Cannot be changed before Spock 6.
    type: list
    elements: str
  apply_delay:
    description: Seconds to wait before a change is applied. Cannot be changed before Spock 6.
    type: float
  force_text_transfer:
    description: Send values as text. Cannot be changed.
    type: bool
  enabled:
    description:
      - Whether it replicates. A new one does; an existing one is left as it is if this is not given.
      - It is turned on and off at once. For a new one that is disabled, Spock makes no slot on the provider.
    type: bool
  skip_schema:
    description: Schemas to leave out of C(synchronize_structure). Cannot be changed before Spock 6.
    type: list
    elements: str
  skip_lsn:
    description:
      - Skip the one transaction with this LSN, because its changes cannot be applied. Where Spock has disabled the
        subscription for that, C(spock.exception_log) has the LSN. The whole transaction is missing here afterwards -
        compare its tables.
      - V(0/0) takes back a skip that has not happened yet.
      - A transaction that has been passed already is no change.
    type: str
  resync_tables:
    description: Copy these tables again from the provider, each time the module runs.
    type: list
    elements: str
    default: []
  resync_truncate:
    description: Empty each of O(resync_tables) first.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait until it replicates and every table's initial copy is done; the failure says how far it is.
        V(0) does not wait.
    type: float
    default: 0
extends_documentation_fragment:
  - crossover.pgedge.login
attributes:
  check_mode:
    support: full
    description: Nothing is changed, and nothing is waited for. RV(queries) is what would run.
  diff_mode:
    support: full
    description: The subscription before and after, without passwords.
  idempotent:
    support: partial
    details: The same input twice changes nothing, but O(resync_tables) are copied each time.
    description: The same input twice changes nothing.
author:
  - The Crossover authors (@crossover)
seealso:
  - module: crossover.pgedge.spock_node
  - module: crossover.pgedge.spock_repset
  - module: crossover.pgedge.mesh
"""

EXAMPLES = r"""
- name: Node n2 gets what is written on n1
  crossover.pgedge.spock_subscription:
    name: sub_n2_n1
    provider_dsn:
      host: n1.example.com
      dbname: shop
      user: crossover
      password: "{{ node_password }}"
    replication_sets: [default, default_insert_only]
    forward_origins: []
    wait_timeout: 60
    login_host: n2.example.com
    login_user: crossover
    login_password: "{{ node_password }}"
    login_db: shop
"""

RETURN = r"""
queries:
  description: The statements, the same in check mode, passwords hidden.
  type: list
  elements: str
  returned: always
  sample: ["SELECT spock.sub_enable('sub_n2_n1', immediate := true)"]
subscription:
  description:
    - The subscription as it is now; in check mode as it would be, as far as that is known. Empty when it is absent.
    - Its C(status) is V(initializing), V(replicating), V(disabled), V(down) or V(unknown), as Spock says; V(null) in
      check mode if it would be new.
  type: dict
  returned: always
  sample:
    name: sub_n2_n1
    status: replicating
    provider: n1
    interface: n1
    provider_dsn: {host: n1.example.com, dbname: shop, user: crossover, password: "********"}
    enabled: true
    slot: spk_shop_n1_sub_n2_n1
    sets: [default, default_insert_only]
    forward_origins: []
    apply_delay: 0.0
    force_text_transfer: false
    skip_schema: []
    skip_lsn: 0/0
remaining_slots:
  description: Slots that could not be dropped on the provider, which keep its WAL until somebody drops them there.
  type: list
  elements: str
  returned: O(state=absent)
  sample: []
spock:
  description: Version of Spock.
  type: str
  returned: always
  sample: 5.0.11
"""

import re
import time
from typing import Any

from ..module_utils import _replication_conninfo as conninfo
from ..module_utils import _spock_subscription as spock
from ..module_utils._ansible import Outcome, Runner, run_module
from ..module_utils._errors import CrossoverError
from ..module_utils._pg_connect import Login
from ..module_utils._pg_lsn import Lsn
from ..module_utils._replication_apply import apply
from ..module_utils._spock_node import known_secrets, require_node
from ..module_utils._spock_repset import resolve
from ..module_utils._spock_session import quietly
from ..module_utils._spock_strays import end_strays
from ..module_utils._spock_subscription import SpockSubscription, Wanted
from ..module_utils._spock_version import require_spock

LOOK = 0.2  # seconds between two looks while waiting


def refuse(message: str, login: Login, name: str, hint: str, code: str = "bad_option") -> CrossoverError:
    """Nothing has been done yet."""
    return CrossoverError(
        message, code=code, server=str(login), object=name, untouched="nothing was changed", hint=hint
    )


def wanted(params: dict[str, Any], actual: SpockSubscription | None, login: Login) -> Wanted:
    """The options as the domain wants them."""
    name, copies = params["name"], params["synchronize_structure"] or params["synchronize_data"]
    if not re.fullmatch(r"[a-z0-9_]{1,63}", name):
        raise refuse(
            f"{name!r} is no name for a subscription", login, name, "use a-z, 0-9 and _, 63 at most", "bad_name"
        )
    if actual is None and not params["provider_dsn"]:
        raise refuse(f"there is no subscription {name} yet", login, name, "give provider_dsn, so that it can be made")
    if actual is None and copies and params["enabled"] is False:
        raise refuse(
            f"subscription {name} cannot be made disabled and copy at once", login, name,
            "leave out enabled, or synchronize_structure and synchronize_data",
        )  # fmt: skip
    skip = params["skip_lsn"]
    if skip is not None and not re.fullmatch(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", skip):
        raise refuse(f"{skip!r} is no LSN", login, name, "give it as PostgreSQL shows it: 16/B374D848")
    if actual is None and skip is not None:
        raise refuse(f"there is no subscription {name} yet to skip anything", login, name, "leave out skip_lsn")
    names = {"sets": "replication_sets", "forward_origins": "forward_origins", "skip_schema": "skip_schema"}
    as_they_are = {key: params[key] for key in ("enabled", "apply_delay", "force_text_transfer")}
    lists = {key: tuple(params[option]) for key, option in names.items() if params[option] is not None}
    return Wanted(
        name=name,
        dsn=conninfo.wanted(params["provider_dsn"]) if params["provider_dsn"] else None,
        structure=params["synchronize_structure"],
        data=params["synchronize_data"],
        skip_lsn=str(Lsn.parse(skip)) if skip is not None else None,
        **{**as_they_are, **lists},
    )


def wait(conn: Any, login: Login, name: str, timeout: float) -> None:
    """Until it replicates and no copy is under way."""
    until = time.monotonic() + timeout
    while True:
        now = spock.subscriptions(conn)[name]
        left = spock.copying(conn, now)
        if now.status == spock.REPLICATING and not left:
            return
        disabled = now.status == spock.DISABLED
        if disabled or time.monotonic() > until:
            when = "" if disabled else f" after {timeout:g} s"
            tables = f", and {len(left)} table(s) are not copied yet ({', '.join(left[:3])})" if left else ""
            raise CrossoverError(
                f"subscription {name} is not in step with {now.provider}{when}: it is {now.status}{tables}",
                code="not_in_sync",
                object=name,
                server=str(login),
                untouched="it is there" if disabled else "it is there and goes on by itself",
                hint="see spock.exception_log and the log of this server, then set enabled to true"
                if disabled
                else "see the log of this server, and whether it reaches the provider, then run this again",
            )
        time.sleep(LOOK)


def present(runner: Runner, conn: Any, login: Login, actual: SpockSubscription | None, major: int) -> Outcome:
    """Create or change it."""
    params, name = runner.params, runner.params["name"]
    want = wanted(params, actual, login)
    plan = spock.plan(want, actual, major, login)
    tables = resolve(conn, params["resync_tables"], login)
    plan.change += [spock.resync(name, table, params["resync_truncate"]) for table in tables.values()]
    outcome = Outcome(bool(plan.steps), queries=plan.steps, before=actual.shown() if actual else {})
    if actual is None and want.enabled is False:
        outcome.warnings.append(
            f"subscription {name} is made disabled, and Spock makes no slot on the provider for such a one: make it "
            "there before it is enabled"
        )
    copied = {"resynced": sorted(tables.values())} if tables else {}
    if runner.check:
        outcome.after = {**spock.predicted(want, actual), **copied}
        return outcome
    if plan.steps:
        quietly(conn)
        secrets = [*conninfo.secrets(want.dsn), *known_secrets(conn)]
        doing = f"the subscription {name} could not be {'changed' if actual else 'made'}"
        apply(conn, login, plan.change, doing, together=True, secrets=secrets)
        apply(conn, login, plan.switch, f"the subscription {name} could not be {'en' if want.enabled else 'dis'}abled")
    if params["wait_timeout"] and want.enabled is not False:
        wait(conn, login, name, params["wait_timeout"])
    outcome.after = {**spock.subscriptions(conn)[name].shown(), **copied}
    return outcome


def absent(runner: Runner, conn: Any, login: Login, actual: SpockSubscription | None, _major: int) -> Outcome:
    """Drop it, and say what remains on the provider."""
    outcome = Outcome(before=actual.shown() if actual else {}, after={}, result={"remaining_slots": []})
    if actual is None:
        return outcome
    outcome.changed, outcome.queries = True, [spock.drop(actual.name)]
    if runner.check:
        return outcome
    said: list[str] = []
    quietly(conn)
    secrets = known_secrets(conn)
    end_strays(conn)  # sub_drop() would wait for one for ever
    conn.add_notice_handler(lambda diag: said.append(f"{diag.severity_nonlocalized} {diag.message_primary}"))
    apply(conn, login, outcome.queries, f"the subscription {actual.name} could not be dropped", secrets=secrets)
    # Spock drops the slot if it can, and else warns and names it
    if any(text.startswith("WARNING") and actual.slot in text for text in said):
        outcome.result["remaining_slots"] = [actual.slot]
        outcome.warnings.append(
            f"subscription {actual.name} is dropped, but not its slot {actual.slot} on {actual.provider}, which "
            "did not answer or still used it. It keeps WAL there until crossover.pgedge.slot (state: absent) drops it"
        )
    return outcome


def work(runner: Runner) -> Outcome:
    """Read, plan, apply, read again."""
    login = runner.login(label="server")
    conn = runner.connect(login)
    version = require_spock(conn, login)
    name, state = runner.params["name"], runner.params["state"]
    if state == "present":
        require_node(conn, login, "a subscription")
    actual = spock.subscriptions(conn).get(name)
    outcome = {"present": present, "absent": absent}[state](runner, conn, login, actual, version.major)
    now = spock.subscriptions(conn).get(name)
    status = {"status": now.status if now else None} if outcome.after else {}
    outcome.result.update(subscription={**outcome.after, **status}, spock=version.text)
    return outcome


def main() -> None:
    """Entry point."""
    lists = ("replication_sets", "forward_origins", "skip_schema")
    run_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["absent", "present"]},
            "provider_dsn": {"type": "dict"},
            **{option: {"type": "list", "elements": "str"} for option in lists},
            "synchronize_structure": {"type": "bool", "default": False},
            "synchronize_data": {"type": "bool", "default": False},
            "apply_delay": {"type": "float"},
            "force_text_transfer": {"type": "bool"},
            "enabled": {"type": "bool"},
            "skip_lsn": {"type": "str"},
            "resync_tables": {"type": "list", "elements": "str", "default": []},
            "resync_truncate": {"type": "bool", "default": True},
            "wait_timeout": {"type": "float", "default": 0},
        },
        work,
    )


if __name__ == "__main__":
    main()
