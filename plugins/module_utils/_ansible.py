# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the domain meets Ansible (private to the collection): options, check mode, diff, errors."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping

from ansible.module_utils.basic import AnsibleModule

from ._errors import CrossoverError
from ._pg_connect import Login, connect, driver, sql_error
from ._pg_sql import Statement

# Same names and meaning as in community.postgresql; documented in plugins/doc_fragments/login.py.
LOGIN_OPTIONS: dict[str, dict[str, Any]] = {
    "login_host": {"type": "str", "default": "", "aliases": ["host"]},
    "login_port": {"type": "int", "default": 5432, "aliases": ["port"]},
    "login_user": {"type": "str", "default": "postgres", "aliases": ["login"]},
    "login_password": {"type": "str", "default": "", "no_log": True},
    "login_unix_socket": {"type": "str", "default": "", "aliases": ["unix_socket"]},
    "login_db": {"type": "str", "aliases": ["db", "database"]},
    "ssl_mode": {
        "type": "str",
        "default": "prefer",
        "choices": ["allow", "disable", "prefer", "require", "verify-ca", "verify-full"],
    },
    "ca_cert": {"type": "str", "aliases": ["ssl_rootcert"]},
    "ssl_cert": {"type": "path"},
    "ssl_key": {"type": "path"},
    "connect_params": {"type": "dict", "default": {}},
    "session_role": {"type": "str"},
    "trust_input": {"type": "bool", "default": True},
}


def login_spec() -> dict[str, dict[str, Any]]:
    """The login_* options of every module."""
    return {name: dict(option) for name, option in LOGIN_OPTIONS.items()}


def source_option(required: bool = True) -> dict[str, dict[str, Any]]:
    """The option ``source`` of modules that work on two servers; login_* is the node then."""
    return {"source": {"type": "dict", "required": required, "options": login_spec()}}


def further_nodes_option() -> dict[str, dict[str, Any]]:
    """The option ``further_nodes`` of modules that work on every node of a mesh; login_* is the publishing one."""
    options = {**login_spec(), "name": {"type": "str", "required": True}, "landing": {"type": "bool", "default": True}}
    return {"further_nodes": {"type": "list", "elements": "dict", "default": [], "options": options}}


def sequences_option() -> dict[str, dict[str, Any]]:
    """The option ``sequences``: how the nodes share them."""
    hows = ["offset", "snowflake", "keep"]
    exception = {
        "sequence": {"type": "str", "required": True},
        "how": {"type": "str", "required": True, "choices": hows},
    }
    options = {
        "how": {"type": "str", "choices": hows},
        "exceptions": {"type": "list", "elements": "dict", "default": [], "options": exception},
        "stride": {"type": "int"},
        "nodes": {"type": "list", "elements": "str", "default": []},
    }
    return {"sequences": {"type": "dict", "default": {}, "options": options, "apply_defaults": True}}


@dataclass
class Outcome:
    """What a module returns. ``before`` and ``after`` fill the diff; ``queries`` is the same in check mode."""

    changed: bool = False
    msg: str | None = None
    queries: list[Statement] = field(default_factory=list)
    before: Any = None
    after: Any = None
    result: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failed: bool = False


class Runner:
    """Options, connections and check mode for one module run."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.check: bool = module.check_mode
        self._open: list[Any] = []

    def login(self, option: str | None = None, label: str = "node") -> Login:
        """The login of ``login_*`` (option None), or of a dict option such as ``source``."""
        options: Mapping[str, Any] = self.params if option is None else self.params[option]
        return Login.of(options, label if option is None else option)

    def connect(self, login: Login, **how: Any) -> Any:
        """A connection that is closed when the module ends."""
        conn = connect(login, **how)
        self._open.append(conn)
        return conn

    def close(self) -> None:
        """Close every connection this run opened."""
        for conn in self._open:
            try:
                conn.close()
            except Exception:  # pylint: disable=broad-except
                pass  # the server may be gone already; nothing is lost by that


def run_module(
    spec: Mapping[str, Any],
    work: Callable[[Runner], Outcome],
    *,
    login: bool = True,
    **options: Any,
) -> None:
    """Build the module, do the work, leave through exit_json or fail_json: the one boundary for errors."""
    options.setdefault("supports_check_mode", True)
    module = AnsibleModule(argument_spec={**(login_spec() if login else {}), **spec}, **options)
    _hide_secrets(module)
    runner = Runner(module)
    try:
        outcome = work(runner)
    except CrossoverError as exc:
        _fail(module, exc)
    except Exception as exc:  # pylint: disable=broad-except
        _fail(module, _unexpected(exc))
    else:
        _leave(module, outcome)
    finally:
        runner.close()


def _fail(module: AnsibleModule, exc: CrossoverError) -> None:
    module.fail_json(msg=str(exc), failure=exc.failure(), **exc.data)


def _unexpected(exc: Exception) -> CrossoverError:
    """A psycopg error nobody foresaw keeps its SQLSTATE; anything else is a defect of ours, and says where."""
    try:
        if isinstance(exc, driver().Error):
            return sql_error(exc, "PostgreSQL", "a statement failed")
    except CrossoverError:
        pass
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return CrossoverError(
        f"unexpected {type(exc).__name__} in {frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}): {exc}",
        code="defect",
        hint="this is a defect of crossover.pgedge: please report this line",
    )


def _leave(module: AnsibleModule, outcome: Outcome) -> None:
    result: dict[str, Any] = {"changed": outcome.changed, **outcome.result}
    if outcome.queries or "queries" not in result:
        result["queries"] = [str(statement) for statement in outcome.queries]
    if outcome.msg:
        result["msg"] = outcome.msg
    if outcome.before is not None or outcome.after is not None:
        result["diff"] = {"before": outcome.before or {}, "after": outcome.after or {}}
    for warning in outcome.warnings:
        module.warn(warning)
    if outcome.failed:
        module.fail_json(**{"msg": outcome.msg or "failed", **result})
    module.exit_json(**result)


def _hide_secrets(module: AnsibleModule) -> None:
    """Passwords that arrive inside free-form dicts are not marked by the argument spec: mark them here."""
    for secret in _secrets(module.params):
        module.no_log_values.add(secret)


def _secrets(value: Any, key: str = "") -> Iterable[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _secrets(inner, str(name))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _secrets(inner, key)
    elif value and key.lower().endswith(("password", "passwd", "passphrase", "token")) and value is not True:
        yield str(value)  # also one that YAML took for a number
