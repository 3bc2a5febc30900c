# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes: how the application's traffic reaches a database (private to the collection).

Every driver has the same contract: prepare, hold, point, release, where. Pointing to where the route points already
changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Iterable, Mapping, Protocol, Sequence

from ._errors import CrossoverError
from ._migration_deadline import NoAnswer, together
from ._pg_connect import Login, connect, driver, sql_error
from ._pg_sql import quote_ident

# codes of errors that say: the server is not there
UNREACHABLE = ("unreachable", "unknown_host", "no_connections_left", "no_answer")


@dataclass(frozen=True)
class Address:
    """Where the route finds one side; may differ from how the runner reaches it."""

    side: str
    host: str
    port: int
    database: str

    @classmethod
    def of(cls, side: str, login: Login, options: Mapping[str, Any] | None) -> Address:
        """From the side's login, overridden by the route's option ``addresses``."""
        chosen = ((options or {}).get("addresses") or {}).get(side) or {}
        return cls(
            side,
            chosen.get("host") or login.host,
            int(chosen.get("port") or login.port),
            chosen.get("database") or login.database,
        )


class Route(Protocol):
    """What the cutover asks of a route."""

    def prepare(self) -> None:
        """Check, before anything is held, that everything the window needs can be done."""

    def hold(self, timeout: float) -> None:
        """Let no new transaction through; returns when none is running. All or none."""

    def point(self, side: str) -> bool:
        """Send what comes next to this side; says whether that changed anything."""

    def release(self) -> None:
        """Let transactions through again. Idempotent."""

    def settle(self, side: str) -> bool:
        """Point and release, each part by itself; called once more, only those that could not be reached before."""

    def leave(self, check: bool) -> bool:
        """Take away what the route has set on the sides, when the migration ends; says whether there was anything."""

    def where(self) -> list[dict[str, Any]]:
        """For each part of the route: name, side (or None), held."""


class NoRoute:
    """``none``: the operator moves the traffic; the fences alone decide where writes are accepted."""

    def prepare(self) -> None:
        """Nothing to check."""

    def hold(self, timeout: float) -> None:
        """Nothing to hold: writers wait at the fence."""

    def point(self, side: str) -> bool:
        """Nothing to point."""
        return False

    def release(self) -> None:
        """Nothing to release."""

    def settle(self, side: str) -> bool:
        """Nothing to point or release."""
        return False

    def leave(self, check: bool) -> bool:
        """Nothing was set."""
        return False

    def where(self) -> list[dict[str, Any]]:
        """Nothing is known."""
        return []


class LibpqRoute:
    """``libpq``: clients name both hosts with target_session_attrs=read-write.

    The fence does not make a server look read-only, so the application's roles get default_transaction_read_only on
    the fenced side; new sessions go to the other one. Sessions that are open already meet the fence (SQLSTATE 25006)
    and reconnect. Apply workers run as other roles and are not touched (hazard: a database-wide setting kills apply).
    """

    ANSWER = 3.0  # seconds

    def __init__(self, roles: list[str], logins: Mapping[str, Sequence[Login]]) -> None:
        self.roles = roles
        self.servers = [(side, login) for side, found in logins.items() for login in found]

    def prepare(self) -> None:
        """The login must be able to become every application role: one may change one's own settings."""
        if not self.roles:
            raise CrossoverError(
                "the libpq route needs the application's roles",
                code="bad_route",
                untouched="nothing was changed",
                hint="set application_roles in crossover_route",
            )
        for _side, login in self.servers:
            with connect(login) as conn:
                for role in self.roles:
                    try:
                        with conn.transaction(force_rollback=True):
                            conn.execute(f"SET LOCAL ROLE {quote_ident(role)}")
                    except driver().Error as exc:
                        raise sql_error(
                            exc,
                            login,
                            f"the route cannot act as {role}",
                            code="bad_route",
                            hint=f"GRANT {role} TO {login.user}",
                        ) from None

    def hold(self, timeout: float) -> None:
        """Nothing to hold: writers wait at the fence."""

    def _read_only(self, login: Login) -> dict[str, bool]:
        with connect(login) as conn:
            rows = conn.execute(
                """SELECT r.rolname AS role, EXISTS (
                       SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
                       WHERE s.setrole = r.oid AND d.datname = current_database()
                         AND 'default_transaction_read_only=on' = ANY (s.setconfig)) AS read_only
                   FROM pg_roles r WHERE r.rolname = ANY (%s)""",
                [self.roles],
            )
            return {row["role"]: row["read_only"] for row in rows}

    def point(self, side: str) -> bool:
        """The other side first, so that a client never finds two that are writable; it need not be there.

        Nor need a further node of this one: it is still fenced then, and a rerun takes it in.
        """
        there, here = ([login for of, login in self.servers if (of == side) is mine] for mine in (False, True))
        changed = any(self._all(there, True))
        if len(here) == 1:
            return self._set(here[0], False) or changed
        done = self._all(here, False)
        if not done:
            raise NoAnswer(self.ANSWER, str(here[0]))
        return any(done) or changed

    def _all(self, logins: Iterable[Login], wanted: bool) -> list[bool]:
        """On all of these that are there; what it changed on each."""
        acts = {number: partial(self._set, login, wanted) for number, login in enumerate(logins)}
        done, failed = together(acts, self.ANSWER)
        for exc in failed.values():
            if not isinstance(exc, CrossoverError) or exc.code not in UNREACHABLE:
                raise exc
        return list(done.values())

    def leave(self, check: bool) -> bool:
        """Nobody is read-only any more."""
        changed = [self._set(login, False, check) for _side, login in self.servers]
        return any(changed)

    def _set(self, login: Login, wanted: bool, check: bool = False) -> bool:
        """Make the roles read-only there, or not; says whether that changes anything."""
        state = self._read_only(login)
        differ = [role for role in self.roles if role in state and state[role] != wanted]
        if not check:
            for role in differ:
                with connect(login) as conn:
                    database = quote_ident(conn.info.dbname)
                    what = "SET default_transaction_read_only = on" if wanted else "RESET default_transaction_read_only"
                    conn.execute(f"SET ROLE {quote_ident(role)}")
                    conn.execute(f"ALTER ROLE {quote_ident(role)} IN DATABASE {database} {what}")
        return bool(differ)

    def release(self) -> None:
        """Nothing is held."""

    def settle(self, side: str) -> bool:
        """The same as to point it."""
        return self.point(side)

    def where(self) -> list[dict[str, Any]]:
        """A role's side is the one on which it is not read-only."""
        states = [(side, self._read_only(login)) for side, login in self.servers]
        found = []
        for role in self.roles:
            sides = sorted({side for side, state in states if not state.get(role, False)})
            side = sides[0] if len(sides) == 1 else "both" if sides else None  # both: before the first switch
            found.append({"name": role, "side": side, "held": False})
        return found


def make_route(options: Mapping[str, Any], source: Login, node: Login, further: Sequence[Login] = ()) -> Route:
    """The driver that ``crossover_route`` names. What it points goes to ``node``, the first of them."""
    kind = options.get("type") or "none"
    logins = {"source": source, "node": node}
    if kind == "none":
        return NoRoute()
    if kind == "libpq":
        sides = {"source": [source], "node": [node, *further]}
        return LibpqRoute(list(options.get("application_roles") or []), sides)
    if kind == "pgbouncer":
        from ._migration_route_pgbouncer import PgBouncerRoute

        addresses = {side: Address.of(side, login, options) for side, login in logins.items()}
        return PgBouncerRoute(list(options.get("poolers") or []), addresses)
    raise CrossoverError(
        f"{kind} is no route", code="bad_route", untouched="nothing was changed", hint="choose pgbouncer, libpq or none"
    )


def expect(route: Route, side: str) -> None:
    """Every part of the route points to this side, before the application is led away from it."""
    wrong = [part for part in route.where() if part["side"] not in (side, "both")]
    if wrong:
        raise CrossoverError(
            f"{wrong[0]['name']} points to {wrong[0]['side'] or 'neither side'}, expected was the {side}",
            code="bad_route",
            untouched="nothing was changed",
            hint="check addresses in crossover_route: where the pooler finds the source and the node",
        )
