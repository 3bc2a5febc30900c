# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before anything of a schema is changed (private to the collection)."""

from __future__ import annotations

from typing import Any

from ._errors import CrossoverError
from ._migration_ledger import Ledger
from ._migration_schema_objects import own
from ._pg_catalog import Scope, tables
from ._pg_connect import Login

_LOCK = "SELECT pg_try_advisory_lock(hashtext('crossover.schema')) AS mine"


def refusal(login: Login, message: str, code: str, hint: str, what: str | None = None, **data: Any) -> CrossoverError:
    """Nothing was changed, and why."""
    untouched = "nothing was changed"
    return CrossoverError(message, code=code, server=str(login), object=what, untouched=untouched, hint=hint, data=data)


def refuse_unknown(source: Any, scope: Scope, login: Login) -> None:
    """A schema or table that the source does not have is a slip of the pen."""
    known = {row["nspname"] for row in source.execute("SELECT nspname FROM pg_namespace")}
    unknown = [name for name in scope.schemas or () if name not in known]
    if scope.exclude_tables:
        every = {name for t in tables(source) for name in (t.full_name, f"{t.schema}.{t.name}")}
        unknown += [name for name in scope.exclude_tables if name not in every]
    if unknown:
        message = f"there is no {', no '.join(unknown)}"
        raise refusal(login, message, "unknown_name", "check schemas and exclude_tables", unknown[0])


def refuse_company(node: Any, ledger: Ledger, login: Login) -> None:
    """Without a ledger nobody would know later what is ours; two runs at once would be in each other's way."""
    if not ledger.exists:
        hint = "run the playbook crossover.pgedge.assess first"
        raise refusal(login, f"there is no migration named {ledger.name} on this node", "no_migration", hint)
    if not node.execute(_LOCK).fetchone()["mine"]:
        raise refusal(login, "another run is working on this node's schema", "busy", "wait for it to end")


def refuse_full(node: Any, login: Login) -> None:
    """Nothing is overwritten: what somebody made in the database stands in the way."""
    found = own(node)
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise refusal(
            login,
            f"the database is not empty: it has {', '.join(map(str, found[:5]))}{more}",
            "target_not_empty",
            "give the migration an empty database, or drop these objects",
            str(found[0]),
            found=[str(what) for what in found[:100]],
        )
