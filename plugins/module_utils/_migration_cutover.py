# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch: from one side to the other in one process (private to the collection).

Read ``Switch.run`` from top to bottom: it is the order of events. Forward and back are the same machine.

Before the point of no return everything falls back by itself: the lease's locks go with its session, the watchdog
releases the route. After it everything goes forward: the control row names the new side, and whoever comes next
(this process, the watchdog, a rerun) makes the rest agree with it.
"""

from __future__ import annotations

import time
from typing import Any

from . import _migration_catalogue as catalogue
from ._errors import CrossoverError
from ._migration_control import NODE, SOURCE, Control, EpochTaken, swap
from ._migration_deadline import time_limit, together
from ._migration_fence import Lease, holders, switch
from ._migration_fence_copy import FenceCopy
from ._migration_journal import Journal
from ._migration_links import (
    advance_slot,
    check_feed,
    check_tables,
    ensure_opposite_slot,
    no_long_transactions,
    start_link,
    stop_link,
    verify_link,
)
from ._migration_rescue import Rescue, agree
from ._migration_sequences import Carry
from ._migration_sides import Migration
from ._migration_watchdog import Watchdog
from ._pg_catalog import table_oids
from ._pg_connect import driver, sql_error
from ._replication_barrier import Barrier
from ._replication_lag import slot_state, subscription_state

_GRACE = 0.5  # seconds after the window; by then the watchdog has acted


def unfinished(migration: Migration, control: Control) -> bool:
    """Whether the last switch, the other way, ended before replication had turned round: what feeds us rests."""
    if not control.crossings:
        return False
    with migration.open(migration.feed.subscriber) as conn:
        state = subscription_state(conn, migration.feed.subscription)
        if state is None or state["enabled"]:
            return False
    with migration.open(migration.feed.publisher) as conn:  # no slot: the switch gave up the way back on purpose
        return slot_state(conn, migration.feed.slot) is not None


class Switch:
    """One switch of a migration; ``run`` does it."""

    def __init__(self, migration: Migration, journal: Journal) -> None:
        self.m = migration
        self.journal = journal
        self.route = migration.make_route()
        self.conn: dict[str, Any] = {}
        self.made_slot = False
        self.copy = FenceCopy(migration, journal)
        self._deadline = 0.0

    # -- the order of events ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Switch sides. Raises CrossoverError with the old side writable, or after the point of no return the new."""
        seen = self._read_control()
        if seen.writable != self.m.old:
            raise EpochTaken(self.m.name)
        self._let_go(seen)
        if unfinished(self.m, seen):
            Switch(self.m.turned(), self.journal).finish()
        rescue = Rescue(self.m, seen)
        watchdog = Watchdog(rescue, self.m.limits.window)
        watchdog.start()  # before the sessions of the switch are opened; it closes those that the module has
        try:
            self._ready(seen)
            watchdog.held()
            with time_limit(self.m.limits.window + _GRACE, self._stuck):
                self._window(seen)
            watchdog.over()
        except BaseException as exc:
            told = self._told(exc)
            self._back_out(rescue, told, watchdog)
            raise told from None
        finally:
            self._close()
        self.finish()
        self.copy.behind()

    def finish(self) -> None:
        """After the point of no return: replication turns round. Also what a rerun does. Idempotent."""
        try:
            self._turn_round()
        except Exception as exc:
            told = self._told(exc)
            if isinstance(told, CrossoverError):
                told.untouched = f"the {self.m.new} is writable and the application goes on there"
                told.hint = told.hint or "run the playbook again: replication has not turned round yet"
            raise told from None

    def _turn_round(self) -> None:
        m, step = self.m, self.journal.step
        with step("stop_feed") as detail:
            detail["changed"] = stop_link(m, m.feed)
        if m.opposite:
            with step("start_opposite") as detail:
                detail["changed"] = start_link(m, m.opposite)
            with step("verify") as detail:
                detail.update(verify_link(m, m.opposite, m.limits.verify))

    # -- before anything is held -----------------------------------------------------------------------------------

    def _ready(self, seen: Control) -> None:
        """All that is slow, and all that can fail, while the application still writes."""
        m, step = self.m, self.journal.step
        with step("check"):
            for side in (SOURCE, NODE):
                self.conn[side] = m.open(side)
            self.conn["lease"], self.conn["lift"] = m.open_lease(m.old), m.open_lease(m.new)
            self.route.prepare()
            self._expect_route()
            check_feed(self.conn[m.feed.subscriber], self.conn[m.feed.publisher], m.feed)
            check_tables(m, {side: self.conn[side] for side in (SOURCE, NODE)})
            no_long_transactions(self.conn[m.old], m.limits.long_transaction)
        self.copy.first()
        if m.opposite:
            with step("opposite_slot_ready") as detail:
                detail.update(ensure_opposite_slot(self.conn[m.new], m.opposite))
                self.made_slot = detail["made"]
        with step("sequences_first") as detail:
            self.carry = Carry(self.conn[m.old], self.conn[m.new], m.scope, m.limits.sequence_gap)
            detail.update(self.carry.first_pass())
        with step("catch_up") as detail:
            detail.update(self._barrier(m.limits.catch_up))
        self.copy.again()
        if m.opposite:
            with step("opposite_slot_warm") as detail:
                detail.update(advance_slot(self.conn[m.new], m.opposite))
        with step("quiet"):
            self._quiet(seen)

    def _quiet(self, seen: Control) -> None:
        """From here on no autovacuum and no DDL comes between us and the tables of either side; writers go on.

        What was created or taken by somebody else since the check is seen here.
        """
        m = self.m
        check_tables(m, {side: self.conn[side] for side in (SOURCE, NODE)})
        self.lease = Lease(self.conn["lease"], m.tables[m.old], m.limits.lease)
        self._lock(self.lease.quiet, m.limits.quiet, m.old)
        lift = Lease(self.conn["lift"], m.tables[m.new], m.limits.window + m.limits.lease)
        self._lock(lift.quiet, m.limits.quiet, m.new)
        if m.control(self.conn[SOURCE]) != seen:
            raise EpochTaken(m.name)
        if m.old == SOURCE:
            catalogue.before_the_lock(self.conn[SOURCE], self.journal.ledger)

    # -- the window: the application waits ---------------------------------------------------------------------------

    def _window(self, seen: Control) -> None:
        m, step = self.m, self.journal.step
        self._deadline = time.monotonic() + m.limits.window
        self.journal.held = True
        with step("hold"):
            self.route.hold(min(m.limits.hold, m.limits.window))
        with step("fence"):
            self._lock(self.lease.fence, min(m.limits.fence, self._left()), m.old)
            if table_oids(self.conn[m.old], m.scope) != {table.oid for table in m.tables[m.old]}:
                raise CrossoverError("a table was made or dropped just now", code="catalogue_changed")
        with step("drain") as detail:
            detail.update(self._barrier(min(m.limits.drain, self._left())))
        self.copy.last(self.conn["lease"], self._left())
        with step("sequences") as detail:
            detail.update(self.carry.last_pass())
        if m.opposite:
            with step("opposite_slot") as detail:
                detail.update(advance_slot(self.conn[m.new], m.opposite))
        self._left()
        with step("commit"):  # the point of no return
            self._commit(seen)
        if self._left(raising=False) <= 0:  # stalled: somebody else may have gone on since; ask the row again
            with step("agree"):
                agree(m, self._read_control(), self.route)
        else:
            with step("lift"):
                self._lift()
            with step("point"):
                self.route.point(m.new)
            with step("release"):
                self.route.release()
        self.journal.held = False

    def _commit(self, seen: Control) -> None:
        """The old side's durable fence and the control row; forward, one transaction on the source has both."""
        m, lease = self.m, self.conn["lease"]
        switch(lease, m.tables[m.old], True)
        if m.old == SOURCE:
            swap(lease, seen, m.new, f"cutover {m.direction}")
            lease.execute("COMMIT")
            return
        # Back: the node's fence first. Should this process end between the two commits, the row still names the
        # node, and whoever comes next takes that fence away again.
        lease.execute("COMMIT")
        source = self.conn["lift"]
        swap(source, seen, m.new, f"cutover {m.direction}")
        switch(source, m.tables[SOURCE], False)
        source.execute("COMMIT")

    def _lift(self) -> None:
        """Let writes in on the new side; back, the control row's own transaction has done it."""
        if self.m.new == NODE:
            switch(self.conn["lift"], self.m.tables[NODE], False)
            self.conn["lift"].execute("COMMIT")

    # -- when something fails ----------------------------------------------------------------------------------------

    def _told(self, exc: BaseException) -> BaseException:
        """An error of the driver as a sentence that names the step, and the server if it is the one that has gone."""
        if not isinstance(exc, driver().Error):
            return exc
        m, step = self.m, self.journal.steps[-1].name if self.journal.steps else "begin"
        conns = {**self.conn, "notebook": self.journal.ledger.conn}
        sides = {"lease": m.old, "lift": m.new, "notebook": NODE}
        gone = [sides.get(name, name) for name, conn in conns.items() if conn.closed]
        server, hint = str(m.logins[gone[0]]) if gone else "", "look after the server, then run the playbook again"
        return sql_error(exc, server, f"the step {step} failed", code="step_failed", hint=hint)

    def _stuck(self) -> CrossoverError:
        """The window is long over, and the watchdog has acted by now: this process waits for who does not answer."""
        return CrossoverError(
            f"a server did not answer in the step {self.journal.steps[-1].name}",
            code="window_timeout",
            hint="look after the servers, then run the playbook again",
        )

    def _back_out(self, rescue: Rescue, exc: BaseException, watchdog: Watchdog) -> None:
        """Before the point of no return the old side goes on; where the commit's outcome is not known, ask the row."""
        held, self.journal.held = self.journal.held, False
        self._close()  # the lease's locks go with its session
        state = f"nothing was held: the {self.m.old} is writable, as it was"
        if not held:
            watchdog.over()
            self._drop_slot()
        else:
            left = ""
            try:
                rescue()
                watchdog.over()
            except Exception:  # pylint: disable=broad-except
                left = "; what does not answer is left to the watchdog"  # the pipe closes with this process
            if not rescue.control:
                state = "the watchdog keeps trying to let the application go on"
            elif rescue.control.writable == self.m.old:
                self._drop_slot()
                state = f"the {self.m.old} is writable and the application goes on there{left}"
            else:
                state = f"the switch is done, the {self.m.new} is writable{left}; run the playbook again to go forward"
        if isinstance(exc, CrossoverError) and not isinstance(exc, EpochTaken):
            exc.untouched = state if held else exc.untouched or state

    def _drop_slot(self) -> None:
        """A slot that this run made for a switch that did not happen would hold WAL back."""
        if not (self.made_slot and self.m.opposite):
            return
        slot = self.m.opposite.slot

        def drop() -> None:
            with self.m.open(self.m.new) as conn:
                conn.execute("SELECT pg_drop_replication_slot(%s)", [slot])

        together({slot: drop}, 3.0)  # where that fails, the next run uses it; finish and rollback drop it

    def _let_go(self, seen: Control) -> None:
        """A runner that lost its power left the application held: it goes on before anything is checked."""
        try:
            held = any(part["held"] for part in self.route.where())
        except CrossoverError:
            return  # the route's own check tells what is wrong
        if held:
            with self.journal.step("agree"):
                agree(self.m, seen, self.route)

    # -- small things ------------------------------------------------------------------------------------------------

    def _read_control(self) -> Control:
        with self.m.open(SOURCE) as conn:
            return self.m.control(conn)

    def _expect_route(self) -> None:
        wrong = [part for part in self.route.where() if part["side"] not in (self.m.old, "both")]
        if wrong:
            raise CrossoverError(
                f"{wrong[0]['name']} points to {wrong[0]['side'] or 'neither side'}, expected was the {self.m.old}",
                code="bad_route",
                untouched="nothing was changed",
                hint="check addresses in crossover_route: where the pooler finds the source and the node",
            )

    def _barrier(self, timeout: float) -> dict[str, Any]:
        feed = self.m.feed
        barrier = Barrier.take(self.conn[feed.publisher], feed.publisher)
        return barrier.wait(
            self.conn[feed.publisher], [(feed.slot, self.conn[feed.subscriber], feed.subscription)], timeout
        )

    def _lock(self, take: Any, timeout: float, side: str) -> None:
        try:
            take(timeout)
        except driver().errors.LockNotAvailable:
            raise CrossoverError(
                f"a lock on all tables was not to be had within {timeout:g} s: {self._holders(side)}",
                code="fence_timeout",
                server=str(self.m.logins[side]),
                hint="end it or wait for its end" + (", or raise crossover_fence_timeout" if self.journal.held else ""),
            ) from None
        except driver().Error as exc:
            raise sql_error(exc, self.m.logins[side], "the tables could not be locked", code="fence_failed") from None

    def _holders(self, side: str) -> str:
        ours = [self.conn[name].info.backend_pid for name in ("lease", "lift")]
        return holders(self.conn[side], self.m.tables[side], ours)

    def _left(self, raising: bool = True) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0 and raising:
            raise CrossoverError(
                f"the window of {self.m.limits.window:g} s is over",
                code="window_timeout",
                hint="see the steps for what was slow",
            )
        return left

    def _close(self) -> None:
        for conn in self.conn.values():
            conn.close()
        self.conn.clear()
        self.copy.close()
