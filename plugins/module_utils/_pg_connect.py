# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way to connect to a server (private to the collection)."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping

from ._errors import CrossoverError

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT = 10  # seconds; a wrong host must be told within seconds

# login_* option -> libpq keyword and environment variable
# (https://www.postgresql.org/docs/current/libpq-envars.html)
_LIBPQ = {
    "host": ("host", "PGHOST"),
    "port": ("port", "PGPORT"),
    "user": ("user", "PGUSER"),
    "password": ("password", "PGPASSWORD"),
    "database": ("dbname", "PGDATABASE"),
    "ssl_mode": ("sslmode", "PGSSLMODE"),
    "ca_cert": ("sslrootcert", "PGSSLROOTCERT"),
    "ssl_cert": ("sslcert", "PGSSLCERT"),
    "ssl_key": ("sslkey", "PGSSLKEY"),
}

# A session of ours means one server. On a Spock node its DDL must not travel through the mesh, nor its tables join a
# replication set by themselves; role passwords would stand in spock.queue. Elsewhere nobody reads these.
LOCAL = {"spock.enable_ddl_replication": "off", "spock.include_ddl_repset": "off"}


@dataclass(frozen=True)
class Login:
    """How to reach one database: the options of community.postgresql, in one value."""

    host: str = ""
    port: int = 5432
    user: str = "postgres"
    password: str = field(default="", repr=False)
    database: str = "postgres"
    ssl_mode: str = "prefer"
    ca_cert: str = ""
    ssl_cert: str = ""
    ssl_key: str = ""
    connect_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    session_role: str = ""
    session: Mapping[str, str] = field(default_factory=dict)  # settings of every session but a walsender's
    label: str = "server"

    @classmethod
    def of(cls, options: Mapping[str, Any], label: str) -> Login:
        """From the module options of the doc fragment crossover.pgedge.login."""
        return cls(
            host=options.get("login_unix_socket") or options.get("login_host") or "",
            port=int(options.get("login_port") or 5432),
            user=options.get("login_user") or "postgres",
            password=options.get("login_password") or "",
            database=options.get("login_db") or "postgres",
            ssl_mode=options.get("ssl_mode") or "prefer",
            ca_cert=options.get("ca_cert") or "",
            ssl_cert=options.get("ssl_cert") or "",
            ssl_key=options.get("ssl_key") or "",
            connect_params={k: str(v) for k, v in (options.get("connect_params") or {}).items()},
            session_role=options.get("session_role") or "",
            session=LOCAL,
            label=label,
        )

    def __str__(self) -> str:
        """As named in messages: ``source db.example.com:5432/shop``."""
        return f"{self.label} {self.host or 'local socket'}:{self.port}/{self.database}"

    def at(self, **changes: Any) -> Login:
        """The same login with some fields changed."""
        return dataclasses.replace(self, **changes)

    def _fields(self) -> dict[str, str]:
        return {name: str(value) for name in _LIBPQ if (value := getattr(self, name)) not in ("", None)}

    def parameters(self) -> dict[str, str]:
        """libpq keywords and values, the password included."""
        found = {_LIBPQ[name][0]: value for name, value in self._fields().items()}
        found.setdefault("connect_timeout", str(CONNECT_TIMEOUT))
        return {**found, **self.connect_params}

    def conninfo(self) -> str:
        """The connection string that a *server* uses to reach this one, password included: never show it."""
        driver()
        from psycopg.conninfo import make_conninfo

        wanted = {k: v for k, v in self.parameters().items() if k not in ("connect_timeout", "application_name")}
        return make_conninfo("", **wanted)

    def environment(self) -> dict[str, str]:
        """The environment for PostgreSQL's client programs; nothing secret reaches their command line."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        env.update({_LIBPQ[name][1]: value for name, value in self._fields().items()})
        env.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_TIMEOUT))
        for key, value in self.connect_params.items():
            env["PG" + {"dbname": "DATABASE", "application_name": "APPNAME"}.get(key, key.upper())] = value
        return env


def driver() -> Any:
    """psycopg 3, or one sentence on what to install where."""
    try:
        import psycopg
    except ImportError as exc:
        raise CrossoverError(
            f"psycopg 3 is not there for {sys.executable} on {socket.gethostname()}, where this module runs ({exc})",
            code="missing_driver",
            untouched="nothing was changed",
            hint=f"run: {sys.executable} -m pip install 'psycopg[binary]>=3.1' (Debian: apt install python3-psycopg); "
            "or point ansible_python_interpreter of the runner at a Python that has it",
        ) from None
    return psycopg


# A network that swallows packets must become an error within seconds: the application may be waiting for us.
ALIVE = {"keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3", "tcp_user_timeout": "10000"}


_SET = "SELECT pg_catalog.set_config(name, value, false) FROM pg_catalog.json_each_text(%s) AS w (name, value)"


def connect(
    login: Login,
    *,
    autocommit: bool = True,
    search_path: str | None = "pg_catalog",
    settings: Mapping[str, str] | None = None,
    client_binding: bool = False,
) -> psycopg.Connection[Any]:
    """Open one connection. Rows come as dicts. Raises CrossoverError with the reason in one sentence.

    ``search_path=None`` keeps the login's own. ``settings`` are set for the session. ``client_binding`` binds
    parameters on the client, which DDL needs.
    """
    psycopg = driver()
    from psycopg.rows import dict_row

    parameters = {"application_name": "crossover", "client_encoding": "UTF8", **ALIVE, **login.parameters()}
    factory = psycopg.ClientCursor if client_binding else psycopg.Cursor
    try:
        conn = psycopg.connect("", autocommit=True, row_factory=dict_row, cursor_factory=factory, **parameters)
    except psycopg.Error as exc:
        raise connect_error(exc, login) from None
    try:
        wanted = {} if "replication" in parameters else dict(login.session)
        wanted.update({"search_path": search_path} if search_path else {}, **(settings or {}))
        if wanted:
            set_session(conn, wanted)
        if login.session_role:
            from psycopg import sql

            conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(login.session_role)))
        conn.autocommit = autocommit
    except psycopg.Error as exc:
        conn.close()
        raise sql_error(exc, login, "the session could not be set up") from None
    return conn


def set_session(conn: Any, settings: Mapping[str, str]) -> None:
    """Set these for the session."""
    conn.execute(_SET, [json.dumps(dict(settings))])


# What libpq says -> (code, what to do). Read in order; the texts have been stable since PostgreSQL 9.
_CONNECT_HINTS = (
    ("password authentication failed", "bad_password", "check login_user and login_password"),
    ("no password supplied", "bad_password", "set login_password"),
    ("does not exist", "unknown_database", "check login_db and login_user"),
    ("failed to resolve host", "unknown_host", "check login_host: the name does not resolve from the runner"),
    ("could not translate host name", "unknown_host", "check login_host: the name does not resolve from the runner"),
    ("Connection refused", "unreachable", "check login_host and login_port, and that the server listens there"),
    ("timeout expired", "unreachable", "check login_host, login_port and the firewall between runner and server"),
    ("No route to host", "unreachable", "check login_host and the network between runner and server"),
    ("no pg_hba.conf entry", "not_allowed", "allow this user and address in the server's pg_hba.conf"),
    ("server does not support SSL", "no_tls", "set ssl_mode to what the server offers"),
    ("certificate", "bad_certificate", "check ca_cert, ssl_cert and that login_host is the name in the certificate"),
    ("too many", "no_connections_left", "free some connections or raise max_connections"),
    ("remaining connection slots", "no_connections_left", "free some connections or raise max_connections"),
    ("server closed the connection", "unreachable", "see whether the server is up, and its log"),
    ("Connection reset", "unreachable", "see whether the server is up, and its log"),
    ("the database system is", "unreachable", "wait until the server is up"),
    ("No such file or directory", "unreachable", "check login_unix_socket: no server listens there"),
)


def connect_error(exc: BaseException, login: Login) -> CrossoverError:
    """Why a connection could not be made, in one sentence."""
    text = " ".join(str(exc).split())
    hit = next(
        ((code, hint) for words, code, hint in _CONNECT_HINTS if words in text), ("connect_failed", "check login_*")
    )
    reason = text.rsplit("failed: ", 1)[-1].removeprefix("FATAL: ").strip()
    return CrossoverError(
        f"cannot connect as {login.user}: {reason}",
        code=hit[0],
        server=str(login),
        untouched="nothing was changed",
        hint=hit[1],
        sqlstate=getattr(exc, "sqlstate", None),
    )


def sql_error(exc: BaseException, server: Login | str, doing: str, **details: Any) -> CrossoverError:
    """A psycopg error as CrossoverError. ``doing`` says what failed: ``the publication could not be created``."""
    diag = getattr(exc, "diag", None)
    reason = (diag.message_primary if diag is not None else None) or " ".join(str(exc).split()) or type(exc).__name__
    if diag is not None and diag.message_detail:
        reason = f"{reason} ({diag.message_detail})"
    reason = " ".join(reason.split())
    hint = details.pop("hint", None) or (diag.message_hint if diag is not None else None)
    details.setdefault("code", "sql_failed")
    return CrossoverError(
        f"{doing}: {reason}", server=str(server), hint=hint, sqlstate=getattr(exc, "sqlstate", None), **details
    )
