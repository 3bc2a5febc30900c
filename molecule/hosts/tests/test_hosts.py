# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a migration from host to host: each is as the roles say, and the application has lost nothing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import testinfra

STATE = Path(os.environ["CROSSOVER_HOSTS_STATE"])
BUILD = os.environ["CROSSOVER_HOSTS_BUILD"]
NODES = ("n1", "n2", "n3")
MIGRATED = NODES if BUILD else ("n1",)
HOSTS = {name: testinfra.get_host(f"podman://{name}") for name in ("source", "pooler", *NODES)}


def password(name: str) -> str:
    return (STATE / "passwords" / name).read_text(encoding="utf-8").strip()


def bin_dir(name: str) -> str:
    if BUILD and name in NODES:
        return f"{BUILD}/bin"
    (found,) = HOSTS[name].run_expect([0], "ls -d /usr/lib/postgresql/*/bin").stdout.split()
    return str(found)


def service(name: str) -> str:
    if BUILD and name in NODES:
        return "pgedge-main"
    return f"postgresql@{bin_dir(name).split('/')[-2]}-main"


def query(name: str, sql: str, database: str = "shop") -> str:
    """As the superuser on the host itself."""
    psql = f"runuser -u postgres -- {bin_dir(name)}/psql -XAt -h /var/run/postgresql -d {database} -c"
    return str(HOSTS[name].run_expect([0], f"cd / && {psql} %s", sql).stdout).strip()


def connect(name: str, **options: str) -> Any:
    """From the pooler host, as the modules' login."""
    known = {"host": name, "user": "crossover", "dbname": "shop", "connect_timeout": "5", **options}
    dsn = " ".join(f"{key}={value}" for key, value in known.items())
    psql = "psql -XAt -c 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'"
    return HOSTS["pooler"].run(f"PGPASSWORD=%s {psql} %s", password(name), dsn)


@pytest.mark.parametrize("name", ["source", *NODES])
def test_a_server_listens_and_starts_by_itself(name: str) -> None:
    host = HOSTS[name]
    assert host.service(service(name)).is_running and host.service(service(name)).is_enabled
    assert host.socket("tcp://0.0.0.0:5432").is_listening
    if not (BUILD and name in NODES):
        assert host.package(f"postgresql-{bin_dir(name).split('/')[-2]}").is_installed


def test_the_pooler_listens_and_starts_by_itself() -> None:
    host = HOSTS["pooler"]
    assert host.service("pgbouncer").is_running and host.service("pgbouncer").is_enabled
    assert host.socket("tcp://127.0.0.1:6432").is_listening
    assert not host.socket("tcp://0.0.0.0:6432").is_listening


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_set_for_replication(name: str) -> None:
    for setting in ("track_commit_timestamp", "ssl"):
        assert query(name, f"SHOW {setting}") == "on", setting
    assert query(name, "SHOW wal_level") == "logical" and query(name, "SHOW password_encryption") == "scram-sha-256"
    assert int(query(name, "SHOW max_replication_slots")) >= 40
    assert query(name, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"
    if BUILD:
        assert "spock" in query(name, "SHOW shared_preload_libraries")


@pytest.mark.parametrize("name", ["source", *NODES])
def test_who_comes_over_the_network_uses_tls_and_a_password(name: str) -> None:
    ca = "/etc/ssl/certs/crossover-hosts.pem"
    assert connect(name, sslmode="verify-full", sslrootcert=ca).stdout.strip() == "t"
    refused = connect(name, sslmode="disable")
    assert refused.rc != 0 and "no pg_hba.conf entry" in refused.stderr
    other = connect("n2" if name == "source" else "source", sslmode="verify-full", sslrootcert=ca, host=name)
    assert other.rc != 0 and "password authentication failed" in other.stderr
    rules = query(name, "SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE type <> 'local'")
    assert rules == "scram-sha-256"


@pytest.mark.parametrize("name", NODES)
def test_the_key_is_the_servers_only(name: str) -> None:
    key = HOSTS[name].file(query(name, "SHOW ssl_key_file"))
    assert key.mode == 0o600 and key.user == "postgres"


@pytest.mark.parametrize("name", HOSTS)
def test_no_password_is_where_others_read(name: str) -> None:
    host, secrets = HOSTS[name], [password(path.name) for path in (STATE / "passwords").iterdir()]
    assert len(secrets) == 7
    places = "/etc /opt/pgpass /root /home /tmp /var/lib /var/log /var/tmp /run/systemd"
    search = f"printf '%%s\\n' %s | grep -rlsaFZf - {places} | xargs -0r stat -c '%%a %%n'"
    found = dict(reversed(line.split(" ", 1)) for line in host.run(search, "\n".join(secrets)).stdout.splitlines())
    # the contents of a database are its server's: the subscription has the other side's password
    assert not {path: mode for path, mode in found.items() if not mode.endswith("00")}
    assert not [path for path in found if path.startswith("/var/log")]
    journal = host.run_expect([0], "journalctl --no-pager -o cat").stdout
    assert not any(secret in journal for secret in secrets)
    # the search finds what is there
    if name == "pooler":
        assert {"/etc/pgbouncer/userlist.txt", "/opt/pgpass"} <= found.keys()


LOG = """SELECT pg_read_file(CASE WHEN current_setting('data_directory') ~ '^/var/lib/pgedge' THEN 'startup.log' ELSE
    format('/var/log/postgresql/postgresql-%s-main.log', current_setting('server_version_num')::int / 10000) END)"""


def test_nodes_restarted_one_at_a_time() -> None:
    spans = []
    for name in NODES:
        log = query(name, LOG)
        down = re.findall(r"^(\S+ \S+) .*received fast shutdown request$", log, re.MULTILINE)
        ready = re.findall(r"^(\S+ \S+) .*database system is ready to accept connections$", log, re.MULTILINE)
        assert len(down) == 1 and len(ready) == 2, log[:2000]
        spans.append((down[0], ready[1]))
    for (_begun, before), (next_begun, _done) in zip(sorted(spans), sorted(spans)[1:]):
        assert before < next_begun, spans


def test_the_migration_has_left_nothing_but_the_fence_on_the_source() -> None:
    left = """SELECT (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_subscription),
                     (SELECT count(*) FROM pg_replication_slots WHERE slot_name ~ '^crossover'),
                     (SELECT count(*) FROM pg_trigger WHERE tgname = 'crossover_fence' AND tgenabled = 'O') > 0"""
    assert query("source", left) == "0|0|0|t"
    for name in MIGRATED:
        assert query(name, left) == "0|0|0|f"
        assert query(name, "SELECT count(*) FROM pg_namespace WHERE nspname = 'crossover'") == "0"


@pytest.mark.parametrize("name", MIGRATED)
def test_every_acknowledged_write_is_there(name: str) -> None:
    dsn = f"host={name} dbname=shop user=shop_app sslmode=verify-full sslrootcert=/etc/ssl/certs/crossover-hosts.pem"
    report = HOSTS["pooler"].run_expect(
        [0], "PGPASSFILE=/opt/pgpass python3 /opt/workload report --out /var/lib/workload --dsn-new %s", dsn
    )
    found = json.loads(report.stdout)
    verdict = found["acknowledged"]
    assert verdict["ok"] > 1000
    assert {key: verdict[key] for key in ("lost", "duplicated", "phantom", "incomplete", "unresolved")} == {
        "lost": 0, "duplicated": 0, "phantom": 0, "incomplete": 0, "unresolved": 0,
    }  # fmt: skip
    assert found["sum"]["constant"] and found["samples"]["wrong"] == 0
