# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress as people see it: under ansible-playbook, under ansible-runner, in status, and from a second run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
from support.copying import Hold, Pair
from support.database import Database
from support.play import Inventory
from support.screen import Line, Screen, environment, kill_modules, write_play

TABLES = 6
SCHEMA = "CREATE SCHEMA shop;" + "".join(
    f"CREATE TABLE shop.t{n} (id int PRIMARY KEY, doc text STORAGE EXTERNAL);"
    f"INSERT INTO shop.t{n} SELECT i, repeat(md5(i::text), 3000) FROM generate_series(1, {20 + n}) i;"
    for n in range(TABLES)
)
SLOWLY = """
CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END$$;
""" + "".join(
    f"CREATE TRIGGER slow BEFORE INSERT ON shop.t{n} FOR EACH ROW EXECUTE FUNCTION public.slow();"
    f"ALTER TABLE shop.t{n} ENABLE ALWAYS TRIGGER slow;"
    for n in range(2, TABLES)
)
COPY = re.compile(
    r"copy (\d+)% · [\d.]+( \w+)?/[\d.]+ \w+ · (\d)/6 tables"
    r"( · [\d.]+ [KM]iB/s)?( · ETA \w+)?( · \d+/\d+ indexes, keys)?"
)
FULL = re.compile(r"copy (\d+)% · \S+ MiB · \d/6 tables · [\d.]+ [KM]iB/s · ETA \w+")


@pytest.fixture
def pair(source_db: Database, target_db: Database, run_module: Any) -> Iterator[Pair]:
    made = Pair(source_db, target_db, run_module)
    source_db.as_owner(SCHEMA)
    made.prepare()
    try:
        yield made
    finally:
        source_db.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            superuser=True,
        )


@pytest.fixture
def hold(pair: Pair) -> Iterator[Hold]:
    """The rows of the first four tables come slowly (largest first), and the fifth not before the test lets it."""
    pair.target.sql(SLOWLY, superuser=True)
    made = Hold(pair.target, "shop.t1")
    try:
        yield made
    finally:
        made.release()


def play(pair: Pair, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    tasks = [
        {"crossover.pgedge.table_copy": pair.args(part_size="1M", jobs=1), "register": "copied"},
        {"ansible.builtin.debug": {"msg": "run={{ copied.run }} attached={{ copied.attached }}"}},
    ]
    return write_play(directory, tasks, crossover_landing_node="n1")


def workers(pair: Pair) -> int:
    """The copy's sessions: with one job, one that brings rows, and maybe one that builds indexes."""
    return len(
        pair.target.sql(
            "SELECT FROM pg_stat_activity WHERE application_name LIKE 'crossover copy%' "
            "AND datname = current_database()",
            superuser=True,
        )
    )


def everything_told(lines: list[Line], released: float) -> None:
    """A line for each table and some per cent, with rate and ETA; and most of it before the copy was let go on."""
    texts = [text for _at, text in lines]
    for n in range(TABLES):
        assert sum(text.startswith(f"[n1] copied shop.t{n} · {20 + n} rows · ") for text in texts) == 1, texts
    told = [(at, match) for at, text in lines if (match := COPY.fullmatch(text.removeprefix("[n1] ")))]
    percents = [int(match[1]) for _at, match in told]
    assert percents == sorted(percents) and told[0][0] < released, texts
    assert sum(at < released for at, text in lines if " copied shop." in text) >= 1, "tables too"
    assert texts[-1].startswith("[n1] copied 6 tables · 135 rows · "), texts
    assert all(len(text) <= 80 and "\r" not in text for text in texts), texts


def with_rate(lines: list[Line]) -> list[Line]:
    """Those that have rate and ETA."""
    return [entry for entry in lines if FULL.match(entry[1].removeprefix("[n1] "))]


def once(pair: Pair) -> None:
    """Every row is there, and no more than once."""
    pair.equal()
    assert pair.target.sql("SELECT count(*) AS n FROM shop.t5") == [{"n": 25}]


def test_a_second_run_and_status_show_the_same(pair: Pair, hold: Hold, tmp_path: Path) -> None:
    inventory, path = Inventory(tmp_path, pair.source.login, pair.target.login), play(pair, tmp_path)
    first = Screen(tmp_path / "one", str(path))
    first.until(lambda: with_rate(first.starting("[n1] copy")))
    status = inventory.play("status")
    assert status.rc == 0 and first.process.poll() is None, status.output
    (shown,) = re.findall(r'"  now: (.*)"', status.output) or [status.output]
    assert FULL.match(shown), shown

    second = Screen(tmp_path / "two", str(path))
    second.until(lambda: second.starting("[n1] copy"))
    assert 1 <= workers(pair) <= 2, "nobody copies beside it"
    first.until(lambda: " · 4/6 tables" in first.output)
    second.until(lambda: " · 4/6 tables" in second.output)
    released = time.monotonic()
    hold.release()
    assert first.wait() == second.wait() == 0, first.output + second.output
    told = [int(match[1]) for _at, text in first.starting("[n1]") if (match := COPY.search(text))]
    assert told[0] <= int(shown.split("%")[0].split()[-1]) <= told[-1]
    everything_told(first.starting("[n1] "), released)
    everything_told(second.starting("[n1] "), released)
    assert "run=begun attached=False" in first.output and "run=nothing attached=True" in second.output
    once(pair)
    assert pair.source.login["login_password"] not in first.output + second.output + status.output


def test_the_rerun_after_the_first_runner_was_killed(pair: Pair, hold: Hold, tmp_path: Path) -> None:
    """Its copy goes on and is attached to; when that is killed too, the next run goes on with what is left."""
    path, home = play(pair, tmp_path), tmp_path / "one"
    first = Screen(home, str(path))
    first.until(lambda: first.starting("[n1] copied"))
    first.kill()
    second = Screen(tmp_path / "two", str(path))
    second.until(lambda: second.starting("[n1] copy"))
    assert 1 <= workers(pair) <= 2, "the copy itself goes on, and nobody beside it"
    assert kill_modules(home) > 0
    hold.release()
    assert second.wait() == 0, second.output
    assert "run=resumed attached=True" in second.output, second.output
    once(pair)


def test_live_events_under_ansible_runner(pair: Pair, hold: Hold, tmp_path: Path) -> None:
    path = play(pair, tmp_path)
    seen: list[Line] = []
    released: list[float] = []
    (tmp_path / "data").mkdir()

    def event(data: dict[str, Any]) -> None:
        seen.extend((time.monotonic(), text) for text in data.get("stdout", "").splitlines())
        if not released and with_rate(seen) and any("copied shop." in text for _at, text in seen):
            released.append(time.monotonic())
            hold.release()  # it goes on only because this event has come

    done = ansible_runner.run(
        private_data_dir=str(tmp_path / "data"),
        playbook=str(path),
        inventory="localhost,",
        envvars=environment(tmp_path / "home"),
        event_handler=event,
        quiet=True,
        timeout=120,
    )
    assert done.rc == 0 and released, "\n".join(text for _at, text in seen)
    everything_told([line for line in seen if line[1].startswith("[n1] ")], released[0])
    once(pair)
