# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch: from one side to the other in one process (private to the collection).

Read ``Switch.run`` from top to bottom: it is the order of events. Forward and back are the same machine.

Before the point of no return everything falls back by itself: the lease's locks go with its session, the watchdog
releases the route. After it everything goes forward: the control row names the new side, and whoever comes next
(this process, the watchdog, a rerun) makes the rest agree with it.

On a mesh, forward, every landing node has a feed of its own. Back, what was written on the further nodes goes to the
source through the publishing node. The lease's locks keep Spock's apply out of a node as they keep out its writers; so
the further nodes are fenced first, then the publishing node takes what they have, and only then is it fenced itself.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Mapping

from . import _migration_catalogue as catalogue
from ._errors import CrossoverError
from ._migration_clock import check_clocks, now, wait_past
from ._migration_control import NODE, SOURCE, Control, EpochTaken, swap
from ._migration_deadline import time_limit, together
from ._migration_fence import Lease, switch
from ._migration_fence_copy import FenceCopy
from ._migration_journal import Journal
from ._migration_links import (
    advance_slots,
    barrier_feed,
    check_tables,
    drop_made,
    ensure_opposite_slot,
    feed_checks,
    no_long_transactions,
)
from ._migration_mesh_ready import check_landing, check_mesh, has_spock
from ._migration_rescue import Rescue, agree
from ._migration_route import expect
from ._migration_sequences_carry import carry_of
from ._migration_sessions import Sessions, on_each
from ._migration_sides import Link, Migration
from ._migration_turn_round import TurnRound, unfinished
from ._migration_watchdog import Watchdog
from ._pg_catalog import table_oids
from ._pg_connect import driver, sql_error
from ._replication_barrier import Barrier
from ._spock_wait import Hop, cross

_GRACE = 0.5  # seconds after the window; by then the watchdog has acted
_LIFT = 1.0  # seconds for a further node to let writes in; the application waits


class Switch:
    """One switch of a migration; ``run`` does it."""

    def __init__(self, migration: Migration, journal: Journal) -> None:
        self.m = migration
        self.journal = journal
        self.route = migration.make_route()
        self.at = Sessions(migration)
        self.turn = TurnRound(migration, journal)
        self.lease: dict[str, Lease] = {}
        self.hops: list[Hop] = []  # of every pair of nodes
        self.made: list[Link] = []  # slots of this run
        self.stamp: float | None = None  # the source's clock behind its fence, where the nodes have Spock
        self.spock = False
        self.copy = FenceCopy(migration, journal)
        self._deadline = 0.0

    # -- the order of events ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Switch sides. Raises CrossoverError with the old side writable, or after the point of no return the new."""
        seen = self._read_control()
        if seen.writable != self.m.old:
            raise EpochTaken(self.m.name)
        rescue = Rescue(self.m, seen)
        watchdog = Watchdog(rescue, self.m.limits.window)
        watchdog.start()  # before there are sessions, which it would close, and threads: a fork copies their locks
        try:
            self._let_go(seen)
            self.at.open()
            if unfinished(self.m, seen):
                Switch(self.m.turned(), self.journal).finish()
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
            self.turn.run()
        except Exception as exc:
            told = self._told(exc)
            if isinstance(told, CrossoverError):
                told.untouched = f"the {self.m.new} is writable and the application goes on there"
                told.hint = told.hint or "run the playbook again: replication has not turned round yet"
            raise told from None

    # -- before anything is held -----------------------------------------------------------------------------------

    def _ready(self, seen: Control) -> None:
        """All that is slow, and all that can fail, while the application still writes."""
        m, step = self.m, self.journal.step
        with step("check") as detail:
            self.at.open_leases()
            self.route.prepare()
            expect(self.route, m.old)
            check_landing(m)
            for check in feed_checks(m, self.at.conn):
                check()
            check_tables(m, self.at.conn)
            if m.further:
                self.hops = check_mesh(m, self.at.conn)
            self.spock = m.new == NODE and has_spock(self.at.conn[NODE])
            if self.spock:
                named = {place: m.named(place) for place in m.everywhere}
                detail["clock_skew"] = round(check_clocks(self.at.conn, m.places(NODE), named, m.limits.clock_skew), 4)
            for place in m.places(m.old):
                no_long_transactions(self.at.conn[place], m.limits.long_transaction)
        self.copy.first()
        if m.opposites:
            with step("opposite_slot_ready") as detail:
                for link in m.opposites:
                    made = ensure_opposite_slot(self.at.conn[link.publisher], link)
                    self.made += [link] if made["made"] else []
                detail.update(slots=[link.slot for link in m.opposites], made=len(self.made))
        with step("sequences_first") as detail:
            self.carry = carry_of(m, self.at.conn)
            detail.update(self.carry.first_pass())
        with step("catch_up") as detail:
            if self.hops:  # forward, too: nothing was written there yet, and the mesh may have broken unnoticed
                detail.update(mesh=cross(self.hops, self.at.conn, m.limits.catch_up))
            detail.update(self._barrier(m.limits.catch_up))
        self.copy.again()
        if m.opposites:
            with step("opposite_slot_warm") as detail:
                detail.update(advance_slots(self.at.conn[m.opposites[0].publisher], m.opposites))
        with step("quiet"):
            self._quiet(seen)

    def _quiet(self, seen: Control) -> None:
        """From here on no autovacuum and no DDL comes between us and the tables of either side; writers go on.

        What was created or taken by somebody else since the check is seen here.
        """
        m = self.m
        check_tables(m, self.at.conn)
        self.lease, lifts = self.at.leases()
        for leases in (self.lease, lifts):
            self.at.lock({place: one.quiet for place, one in leases.items()}, m.limits.quiet)
        if m.control(self.at.conn[SOURCE]) != seen:
            raise EpochTaken(m.name)
        if m.old == SOURCE:
            catalogue.before_the_lock(self.at.conn[SOURCE], self.journal.ledger)

    # -- the window: the application waits ---------------------------------------------------------------------------

    def _window(self, seen: Control) -> None:
        m, step = self.m, self.journal.step
        self._deadline = time.monotonic() + m.limits.window
        self.journal.held = True
        with step("hold"):
            self.route.hold(min(m.limits.hold, m.limits.window))
        if m.old == NODE and m.further:
            with step("fence_further"):
                self._fence(m.beyond)
            with step("drain_further") as detail:
                hops = [hop for hop in self.hops if hop.subscriber == NODE]
                detail.update(cross(hops, self.at.conn, min(m.limits.drain, self._left())))
        with step("fence"):
            self._fence([m.old])
            self.stamp = now(self.at.conn[SOURCE]) if self.spock else None
        with step("drain") as detail:
            detail.update(self._barrier(min(m.limits.drain, self._left())))
        self.copy.last(self.at.lease[m.old], self._left())
        with step("sequences") as detail:
            detail.update(self.carry.last_pass())
        if m.opposites:
            with step("opposite_slot") as detail:
                detail.update(advance_slots(self.at.conn[m.opposites[0].publisher], m.opposites))
        if self.stamp is not None:
            with step("clock") as detail:
                self.at.lease[SOURCE].execute("SELECT")  # its silence is counted from here
                left, stamp = self._left(), self.stamp
                waited = on_each(m, m.places(NODE), lambda place: wait_past(self.at.conn[place], stamp, left), left)
                detail["ms"] = max(waited.values())
        self._left()
        with step("commit"):  # the point of no return
            self._commit(seen)
        if self._left(raising=False) <= 0:  # stalled: somebody else may have gone on since; ask the row again
            with step("agree"):
                self.agree(self._read_control())
        else:
            with step("lift"):
                self._lift()
            with step("point"):
                self.route.point(m.new)
            with step("release"):
                self.route.release()
        self.journal.held = False

    def _fence(self, places: list[str]) -> None:
        timeout = min(self.m.limits.fence, self._left())
        hint = ", or raise crossover_fence_timeout"
        self.at.lock({place: self.lease[place].fence for place in places}, timeout, hint)
        for place in places:
            if table_oids(self.at.conn[place], self.m.scope) != {table.oid for table in self.m.tables[place]}:
                raise CrossoverError("a table was made or dropped just now", code="catalogue_changed")

    def _commit(self, seen: Control) -> None:
        """The old side's durable fence and the control row; forward, one transaction on the source has both."""
        m = self.m
        if m.old == SOURCE:
            lease = self.at.lease[SOURCE]
            switch(lease, m.tables[SOURCE], True)
            swap(lease, seen, m.new, f"cutover {m.direction}")
            lease.execute("COMMIT")
            return
        # Back: the nodes' fences first, all of them. Should this process end between those commits and the row's, the
        # row still names the nodes, and whoever comes next takes those fences away again.
        on_each(m, m.places(NODE), partial(self._set_fence, self.at.lease, True), self._left())
        source = self.at.lift[SOURCE]
        swap(source, seen, m.new, f"cutover {m.direction}")
        switch(source, m.tables[SOURCE], False)
        source.execute("COMMIT")

    def _lift(self) -> None:
        """Let writes in on the new side; back, the control row's own transaction has done it.

        A further node that is lost now stays fenced, and keeps nobody waiting on the others.
        """
        m = self.m
        if m.new == SOURCE:
            return
        lift = partial(self._set_fence, self.at.lift, False)
        if not m.further:
            lift(NODE)
            return
        for place, exc in together({place: partial(lift, place) for place in m.places(NODE)}, _LIFT)[1].items():
            if place == NODE:
                raise exc
            self.turn.warn(place, exc)

    def _set_fence(self, conns: Mapping[str, Any], enabled: bool, place: str) -> None:
        switch(conns[place], self.m.tables[place], enabled)
        conns[place].execute("COMMIT")

    # -- when something fails ----------------------------------------------------------------------------------------

    def _told(self, exc: BaseException) -> BaseException:
        """An error of the driver as a sentence that names the step, and the server if it is the one that has gone."""
        if not isinstance(exc, driver().Error):
            return exc
        m, step = self.m, self.journal.steps[-1].name if self.journal.steps else "begin"
        gone = [*self.at.gone(), *([NODE] if self.journal.ledger.conn.closed else [])]
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
            drop_made(self.m, self.made)
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
                drop_made(self.m, self.made)
                state = f"the {self.m.old} is writable and the application goes on there{left}"
            else:
                state = f"the switch is done, the {self.m.new} is writable{left}; run the playbook again to go forward"
        if isinstance(exc, CrossoverError) and not isinstance(exc, EpochTaken):
            exc.untouched = state if held else exc.untouched or state

    def _let_go(self, seen: Control) -> None:
        """A runner that lost its power left the application held: it goes on before anything is checked."""
        try:
            held = any(part["held"] for part in self.route.where())
        except CrossoverError:
            return  # the route's own check tells what is wrong
        if held:
            with self.journal.step("agree"):
                self.agree(seen)

    # -- small things ------------------------------------------------------------------------------------------------

    def _read_control(self) -> Control:
        with self.m.open(SOURCE) as conn:
            return self.m.control(conn)

    def agree(self, control: Control) -> bool:
        """Fences and route as the row says; a node that cannot be let in on becomes a warning."""
        agreed = agree(self.m, control, self.route)
        for place, exc in agreed.away.items():
            self.turn.warn(place, exc)
        return agreed.changed

    def _barrier(self, timeout: float) -> dict[str, Any]:
        """What was committed on the publisher by now has been applied by all that it feeds."""
        publisher = self.m.feeds[0].publisher
        barrier = Barrier.take(self.at.conn[publisher], self.m.side(publisher))
        feeds = [barrier_feed(self.m, feed, self.at.conn[feed.subscriber]) for feed in self.m.feeds]
        return barrier.wait(self.at.conn[publisher], feeds, timeout)

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
        self.at.close()
        self.copy.close()
