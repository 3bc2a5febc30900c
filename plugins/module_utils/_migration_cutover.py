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

import contextlib
import time
from functools import partial
from typing import Any, Callable, Mapping, TypeVar

from . import _migration_catalogue as catalogue
from ._errors import CrossoverError
from ._migration_clock import check_clocks, now, wait_past
from ._migration_control import NODE, SOURCE, Control, EpochTaken, swap
from ._migration_deadline import time_limit, together
from ._migration_fence import Lease, holders, switch
from ._migration_fence_copy import FenceCopy
from ._migration_journal import Journal
from ._migration_links import (
    advance_slots,
    barrier_feed,
    check_feed,
    check_tables,
    drop_slot,
    ensure_opposite_slot,
    no_long_transactions,
    start_link,
    stop_link,
    verify_links,
)
from ._migration_mesh_ready import away, check_landing, check_mesh, has_spock
from ._migration_rescue import Rescue, agree
from ._migration_route import UNREACHABLE
from ._migration_sequences_carry import carry_of
from ._migration_sides import Link, Migration
from ._migration_watchdog import Watchdog
from ._pg_catalog import table_oids
from ._pg_connect import driver, sql_error
from ._replication_barrier import Barrier
from ._replication_lag import slot_state, subscription_state
from ._spock_wait import Hop, cross

_GRACE = 0.5  # seconds after the window; by then the watchdog has acted
_LIFT = 1.0  # seconds for a further node to let writes in; the application waits

Result = TypeVar("Result")


def unfinished(migration: Migration, control: Control) -> bool:
    """Whether the last switch, the other way, ended before replication had turned round: what feeds us rests."""
    if not control.crossings:
        return False
    for feed in migration.feeds:
        with migration.open(feed.subscriber) as conn:
            state = subscription_state(conn, feed.subscription)
        if state is None or state["enabled"]:
            continue
        with migration.open(feed.publisher) as conn:  # no slot: the switch gave up the way back on purpose
            if slot_state(conn, feed.slot) is not None:
                return True
    return False


class Switch:
    """One switch of a migration; ``run`` does it."""

    def __init__(self, migration: Migration, journal: Journal) -> None:
        self.m = migration
        self.journal = journal
        self.route = migration.make_route()
        self.conn: dict[str, Any] = {}  # by place, as all of these
        self.lease_conn: dict[str, Any] = {}
        self.lift_conn: dict[str, Any] = {}
        self.lease: dict[str, Lease] = {}
        self.hops: list[Hop] = []  # of every pair of nodes
        self.made: list[Link] = []  # slots of this run
        self.stamp: float | None = None  # the source's clock behind its fence, where the nodes have Spock
        self.spock = False
        self.warnings: list[str] = []
        self.copy = FenceCopy(migration, journal)
        self._deadline = 0.0

    # -- the order of events ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Switch sides. Raises CrossoverError with the old side writable, or after the point of no return the new."""
        seen = self._read_control()
        if seen.writable != self.m.old:
            raise EpochTaken(self.m.name)
        self._let_go(seen)
        self._reachable()
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
            stopped = self._each([link.subscriber for link in m.feeds], self._stop_feed, 40.0)
            detail["changed"] = any(stopped.values())
        if m.opposites:
            with step("start_opposite") as detail:
                if m.old == NODE and m.further:
                    detail.update(self._all_arrived())
                started = self._each([link.subscriber for link in m.opposites], self._start_opposite, 20.0)
                detail["changed"] = any(started.values())
            with step("verify") as detail:
                detail.update(verify_links(m, m.opposites, m.limits.verify))

    def _stop_feed(self, place: str) -> bool:
        link = next(link for link in self.m.feeds if link.subscriber == place)
        try:
            return stop_link(self.m, link)
        except CrossoverError as exc:
            if place not in self.m.beyond or exc.code not in UNREACHABLE:
                raise
            drop_slot(self.m, link)
            self._warn(place, exc)
            return True

    def _start_opposite(self, place: str) -> bool:
        return start_link(self.m, next(link for link in self.m.opposites if link.subscriber == place))

    def _all_arrived(self) -> dict[str, Any]:
        """Before the source feeds the nodes again, each must have what was written on the others.

        A change of a row that is not there yet would be skipped.
        """
        with contextlib.ExitStack() as stack:
            conn = {place: stack.enter_context(self.m.open(place)) for place in self.m.places(NODE)}
            return cross(check_mesh(self.m.turned(), conn, tables=False), conn, self.m.limits.verify)

    def _warn(self, place: str, exc: Exception) -> None:
        text = (
            f"{self.m.logins[place]} could not be reached and is still fenced: bring it back, then run the playbook "
            f"again ({exc.message if isinstance(exc, CrossoverError) else exc})"
        )
        if not any(warning.startswith(str(self.m.logins[place])) for warning in self.warnings):
            self.warnings.append(text)

    # -- before anything is held -----------------------------------------------------------------------------------

    def _reachable(self) -> None:
        """All servers answer; the sessions are the ones that the switch works with."""

        def session(place: str) -> None:
            try:
                self.conn[place] = self.m.open(place)
            except CrossoverError as exc:
                raise away(self.m, place, exc) from None

        self._each(self.m.everywhere, session, 15.0)

    def _ready(self, seen: Control) -> None:
        """All that is slow, and all that can fail, while the application still writes."""
        m, step = self.m, self.journal.step
        with step("check") as detail:
            for place in m.places(m.old):
                self.lease_conn[place] = m.open_lease(place)
            for place in m.places(m.new):
                self.lift_conn[place] = m.open_lease(place)
            self.route.prepare()
            self._expect_route()
            check_landing(m)
            for feed in m.feeds:
                check_feed(self.conn[feed.subscriber], self.conn[feed.publisher], feed)
            check_tables(m, self.conn)
            if m.further:
                self.hops = check_mesh(m, self.conn)
            self.spock = m.new == NODE and has_spock(self.conn[NODE])
            if self.spock:
                named = {place: m.named(place) for place in m.everywhere}
                detail["clock_skew"] = round(check_clocks(self.conn, m.places(NODE), named, m.limits.clock_skew), 4)
            for place in m.places(m.old):
                no_long_transactions(self.conn[place], m.limits.long_transaction)
        self.copy.first()
        if m.opposites:
            with step("opposite_slot_ready") as detail:
                for link in m.opposites:
                    made = ensure_opposite_slot(self.conn[link.publisher], link)
                    self.made += [link] if made["made"] else []
                detail.update(slots=[link.slot for link in m.opposites], made=len(self.made))
        with step("sequences_first") as detail:
            self.carry = carry_of(m, self.conn)
            detail.update(self.carry.first_pass())
        with step("catch_up") as detail:
            if self.hops:  # forward, too: nothing was written there yet, and the mesh may have broken unnoticed
                detail.update(mesh=cross(self.hops, self.conn, m.limits.catch_up))
            detail.update(self._barrier(m.limits.catch_up))
        self.copy.again()
        if m.opposites:
            with step("opposite_slot_warm") as detail:
                detail.update(self._advance())
        with step("quiet"):
            self._quiet(seen)

    def _quiet(self, seen: Control) -> None:
        """From here on no autovacuum and no DDL comes between us and the tables of either side; writers go on.

        What was created or taken by somebody else since the check is seen here.
        """
        m = self.m
        check_tables(m, self.conn)
        # Back, on a mesh: a further node's session is silent from its fence to the commit, so for the whole window.
        lease = m.limits.lease if len(self.lease_conn) == 1 else max(m.limits.lease, m.limits.window)
        self.lease = {place: Lease(conn, m.tables[place], lease) for place, conn in self.lease_conn.items()}
        lifts = {
            place: Lease(conn, m.tables[place], m.limits.window + m.limits.lease)
            for place, conn in self.lift_conn.items()
        }
        for leases in (self.lease, lifts):
            self._lock({place: one.quiet for place, one in leases.items()}, m.limits.quiet)
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
        if m.old == NODE and m.further:
            with step("fence_further"):
                self._fence(m.beyond)
            with step("drain_further") as detail:
                hops = [hop for hop in self.hops if hop.subscriber == NODE]
                detail.update(cross(hops, self.conn, min(m.limits.drain, self._left())))
        with step("fence"):
            self._fence([m.old])
            self.stamp = now(self.conn[SOURCE]) if self.spock else None
        with step("drain") as detail:
            detail.update(self._barrier(min(m.limits.drain, self._left())))
        self.copy.last(self.lease_conn[m.old], self._left())
        with step("sequences") as detail:
            detail.update(self.carry.last_pass())
        if m.opposites:
            with step("opposite_slot") as detail:
                detail.update(self._advance())
        if self.stamp is not None:
            with step("clock") as detail:
                left, stamp = self._left(), self.stamp
                waited = self._each(m.places(NODE), lambda place: wait_past(self.conn[place], stamp, left), left)
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
        self._lock({place: self.lease[place].fence for place in places}, timeout)
        for place in places:
            if table_oids(self.conn[place], self.m.scope) != {table.oid for table in self.m.tables[place]}:
                raise CrossoverError("a table was made or dropped just now", code="catalogue_changed")

    def _commit(self, seen: Control) -> None:
        """The old side's durable fence and the control row; forward, one transaction on the source has both."""
        m = self.m
        if m.old == SOURCE:
            lease = self.lease_conn[SOURCE]
            switch(lease, m.tables[SOURCE], True)
            swap(lease, seen, m.new, f"cutover {m.direction}")
            lease.execute("COMMIT")
            return
        # Back: the nodes' fences first, all of them. Should this process end between those commits and the row's, the
        # row still names the nodes, and whoever comes next takes those fences away again.
        self._each(m.places(NODE), partial(self._set_fence, self.lease_conn, True), self._left())
        source = self.lift_conn[SOURCE]
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
        lift = partial(self._set_fence, self.lift_conn, False)
        if not m.further:
            lift(NODE)
            return
        _done, failed = together({place: partial(lift, place) for place in m.places(NODE)}, _LIFT)
        if NODE in failed:
            raise failed[NODE]
        for place, exc in failed.items():
            self._warn(place, exc)

    def _set_fence(self, conns: Mapping[str, Any], enabled: bool, place: str) -> None:
        switch(conns[place], self.m.tables[place], enabled)
        conns[place].execute("COMMIT")

    # -- when something fails ----------------------------------------------------------------------------------------

    def _told(self, exc: BaseException) -> BaseException:
        """An error of the driver as a sentence that names the step, and the server if it is the one that has gone."""
        if not isinstance(exc, driver().Error):
            return exc
        m, step = self.m, self.journal.steps[-1].name if self.journal.steps else "begin"
        sessions = [*self.conn.items(), *self.lease_conn.items(), *self.lift_conn.items()]
        gone = [place for place, conn in [*sessions, (NODE, self.journal.ledger.conn)] if conn.closed]
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
            self._drop_slots()
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
                self._drop_slots()
                state = f"the {self.m.old} is writable and the application goes on there{left}"
            else:
                state = f"the switch is done, the {self.m.new} is writable{left}; run the playbook again to go forward"
        if isinstance(exc, CrossoverError) and not isinstance(exc, EpochTaken):
            exc.untouched = state if held else exc.untouched or state

    def _drop_slots(self) -> None:
        """A slot that this run made for a switch that did not happen would hold WAL back."""

        def drop(link: Link) -> None:
            with self.m.open(link.publisher) as conn:
                conn.execute("SELECT pg_drop_replication_slot(%s)", [link.slot])

        # where that fails, the next run uses it; finish and rollback drop it
        together({link.slot: partial(drop, link) for link in self.made}, 3.0)

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

    def _expect_route(self) -> None:
        wrong = [part for part in self.route.where() if part["side"] not in (self.m.old, "both")]
        if wrong:
            raise CrossoverError(
                f"{wrong[0]['name']} points to {wrong[0]['side'] or 'neither side'}, expected was the {self.m.old}",
                code="bad_route",
                untouched="nothing was changed",
                hint="check addresses in crossover_route: where the pooler finds the source and the node",
            )

    def agree(self, control: Control) -> bool:
        """Fences and route as the row says; a node that cannot be let in on becomes a warning."""
        agreed = agree(self.m, control, self.route)
        for place, exc in agreed.away.items():
            self._warn(place, exc)
        return agreed.changed

    def _barrier(self, timeout: float) -> dict[str, Any]:
        """What was committed on the publisher by now has been applied by all that it feeds."""
        publisher = self.m.feeds[0].publisher
        barrier = Barrier.take(self.conn[publisher], self.m.side(publisher))
        feeds = [barrier_feed(self.m, feed, self.conn[feed.subscriber]) for feed in self.m.feeds]
        return barrier.wait(self.conn[publisher], feeds, timeout)

    def _advance(self) -> dict[str, Any]:
        return advance_slots(self.conn[self.m.opposites[0].publisher], self.m.opposites)

    def _each(self, places: list[str], act: Callable[[str], Result], seconds: float) -> dict[str, Result]:
        """On all these servers at once, or fail with the first failure; one alone needs no thread."""
        if len(places) == 1:
            return {places[0]: act(places[0])}
        done, failed = together({place: partial(act, place) for place in places}, seconds)
        for place, exc in failed.items():
            if isinstance(exc, CrossoverError):
                exc.server = exc.server or str(self.m.logins[place])
            raise exc
        return done

    def _lock(self, take: Mapping[str, Callable[[float], None]], timeout: float) -> None:
        """Each of these locks, on all servers at once."""

        def one(place: str) -> None:
            try:
                take[place](timeout)
            except driver().errors.LockNotAvailable:
                raise CrossoverError(
                    f"a lock on all tables was not to be had within {timeout:g} s: {self._holders(place)}",
                    code="fence_timeout",
                    server=str(self.m.logins[place]),
                    hint="end it or wait for its end"
                    + (", or raise crossover_fence_timeout" if self.journal.held else ""),
                ) from None
            except driver().Error as exc:
                raise sql_error(
                    exc, self.m.logins[place], "the tables could not be locked", code="fence_failed"
                ) from None

        self._each(list(take), one, timeout + _GRACE)

    def _holders(self, place: str) -> str:
        sessions = [self.lease_conn.get(place), self.lift_conn.get(place)]
        ours = [conn.info.backend_pid for conn in sessions if conn is not None]
        return holders(self.conn[place], self.m.tables[place], ours)

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
        for conns in (self.lease_conn, self.lift_conn, self.conn):
            for conn in conns.values():
                conn.close()
            conns.clear()
        self.copy.close()
