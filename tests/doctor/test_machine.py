"""The database, the port and the versions: what is wrong is found and comes with its fix."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hub.settings import Settings
from mcp_bridge.doctor import machine
from mcp_bridge.doctor.reach import WAYS, Way
from mcp_bridge.setup.clients import CLIENTS, Client
from tests.support.hubs import running_hub


@pytest.fixture
async def home(tmp_path: Path, anyio_backend: str) -> Path:
    """The data of a hub that ran and ended."""
    async with running_hub(tmp_path):
        pass
    return tmp_path


def damage(file: Path) -> None:
    """Overwrite a page that holds an index or a table."""
    with file.open("r+b") as data:
        data.seek(4096 * 3)
        data.write(b"\xff" * 4096 * 4)


@pytest.mark.anyio
async def test_a_database_that_is_whole_says_its_size_and_schema(home: Path) -> None:
    before = (home / "hub.db").read_bytes()
    found = machine.database(home)
    assert found.fine, found
    assert "whole" in found.found
    assert "migrations" in found.found
    assert (home / "hub.db").read_bytes() == before, "looking changes nothing"


@pytest.mark.anyio
async def test_a_damaged_database_is_found_and_a_restore_advised(home: Path) -> None:
    damage(home / "hub.db")
    found = machine.database(home)
    assert not found.fine
    assert "admin restore" in found.fix


@pytest.mark.anyio
async def test_a_file_that_is_no_database_is_found(home: Path) -> None:
    (home / "hub.db").write_text("not a database at all, but long enough to be read as one" * 100)
    assert "not a database" in machine.database(home).found


@pytest.mark.anyio
async def test_a_schema_of_a_newer_version_is_found(home: Path) -> None:
    with closing(sqlite3.connect(home / "hub.db")) as connection, connection:
        connection.execute("insert into migration values ('from-the-future', 999)")
    found = machine.database(home)
    assert not found.fine
    assert "from-the-future" in found.found
    assert "upgrade" in found.fix


@pytest.mark.anyio
async def test_a_write_ahead_log_that_grew_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_WAL_BYTES", 0)
    with closing(sqlite3.connect(home / "hub.db")) as connection:
        connection.execute("create table if not exists grows (x)")
        connection.commit()
        found = machine.database(home)
    assert not found.fine
    assert "restart the hub" in found.fix


@pytest.mark.anyio
async def test_a_long_check_ends_in_time(home: Path) -> None:
    times = iter([0.0, *[1000.0] * 10_000])
    with closing(sqlite3.connect(home / "hub.db")) as connection, connection:
        connection.execute("create table much (x)")
        connection.executemany("insert into much values (?)", ((n,) for n in range(100_000)))
    found = machine.database(home, lambda: next(times))
    assert found.fine
    assert "no fault found in 20 s" in found.found


def test_before_the_first_start_all_is_well(tmp_path: Path) -> None:
    assert machine.database(tmp_path).fine


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_taken_by_another_program_is_found(tmp_path: Path, listener: int) -> None:
    found = machine.port(Settings(home=tmp_path, port=listener))
    assert not found.fine
    assert f"another program listens on {listener}" in found.found
    assert f"--port {listener + 1}" in found.fix


def test_the_hubs_own_port_is_fine_wherever_it_is(tmp_path: Path, listener: int) -> None:
    (tmp_path / "hub.json").write_text(json.dumps({"url": f"http://127.0.0.1:{listener}", "pid": os.getpid()}))
    found = machine.port(Settings(home=tmp_path, port=1))
    assert found.fine
    assert f"listens on {listener} (not 1" in found.found


def test_a_hub_that_is_gone_does_not_hold_the_port(tmp_path: Path, listener: int) -> None:
    (tmp_path / "hub.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": os.getpid()}))
    assert not machine.port(Settings(home=tmp_path, port=listener)).fine


def test_a_version_is_read_from_what_the_program_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "codex"
    program.write_text("#!/bin/sh\necho codex-cli 0.169.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert machine.version_of(CLIENTS["codex"]) == "0.169.0"
    assert machine.version_of(Client("x", "X", "no-such-program", ("user",))) == ""


def test_an_old_version_is_told_what_it_lacks() -> None:
    way = Way("push", "its socket", tested=True, since=(2, 1, 270))
    assert way.in_version("2.1.332").reach == "push"
    assert way.in_version("2.1.9").reach == "poll"
    assert way.in_version("").reach == "push", "nothing is known about it"


def test_what_no_real_client_has_shown_is_labelled_in_the_docs_too() -> None:
    page = (Path(machine.__file__).parents[2] / "docs" / "how-to" / "reach-a-session.md").read_text("utf-8")
    assert set(WAYS) == set(CLIENTS)
    for name, way in WAYS.items():
        [row] = [line for line in page.splitlines() if line.startswith(f"| {CLIENTS[name].title} |")]
        assert ("not verified" in row) is (not way.tested), row
        assert f"| `{way.reach}` |" in row, row
        assert ("not verified" in way.text()) is (not way.tested)
