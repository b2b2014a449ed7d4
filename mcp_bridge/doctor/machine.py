"""What the bridge stands on: the database, the port, the clients' versions."""

from __future__ import annotations

import re
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from hub.running import find_running
from hub.settings import Settings
from hub.storage.interface import StoreError
from hub.storage.migrate import pending
from mcp_bridge.doctor.check import Check
from mcp_bridge.setup.clients import Client

FILE: Final = "hub.db"
CHECK_S: Final = 20.0  # a large database is checked this long; `admin backup` checks a copy whole
MOST_WAL_BYTES: Final = 256 * 2**20
RESTORE: Final = "stop the hub, keep a copy of the data directory, and `mcp-bridge admin restore` the last backup"


def database(home: Path, clock: Callable[[], float] = time.monotonic) -> Check:
    """Whether the database is whole, its write-ahead log small, its schema ours."""
    from hub.features import migrations  # loads every feature; `setup` uses this module without a database

    file = home / FILE
    if not file.exists():
        return Check("database", True, "made at the first start")
    wal = file.with_name(FILE + "-wal")
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=5)) as connection:
            faults, whole = _faults(connection, clock)
            done = [row[0] for row in connection.execute("select name from migration order by number")]
    except sqlite3.Error as error:
        return Check("database", False, f"{file}: {error}", RESTORE)
    if faults:
        return Check("database", False, f"{file}: {faults[0]}", RESTORE)
    try:
        waiting = len(pending(done, migrations()))
    except StoreError as error:
        return Check("database", False, str(error), "upgrade multi-agent-bridge, or restore a backup of this version")
    if wal_bytes > MOST_WAL_BYTES:
        found = f"the write-ahead log has {wal_bytes // 2**20} MB: something has been reading for very long"
        return Check("database", False, found, "restart the hub; it empties the log")
    checked = "whole" if whole else f"no fault found in {CHECK_S:.0f} s"
    schema = f"{len(done)} migrations" + (f", {waiting} more at the next start" if waiting else "")
    size = f"{file.stat().st_size / 2**20:.1f} MB, write-ahead log {wal_bytes / 2**20:.1f} MB"
    return Check("database", True, f"{checked}, {size}, {schema}")


def _faults(connection: sqlite3.Connection, clock: Callable[[], float]) -> tuple[list[str], bool]:
    """What a quick check finds, and whether it came to its end."""
    until = clock() + CHECK_S
    connection.set_progress_handler(lambda: int(clock() > until), 100_000)
    try:
        found = [str(row[0]) for row in connection.execute("pragma quick_check(3)")]
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        return [], False
    finally:
        connection.set_progress_handler(None, 0)
    return [text for text in found if text != "ok"], True


def port(settings: Settings) -> Check:
    """Whether the hub has its port, or could have it."""
    running = find_running(settings.home)
    address = urlsplit(running) if running else None
    if address is not None and _listens(address.hostname or "127.0.0.1", address.port or 0):
        other = "" if settings.port in (0, address.port) else f" (not {settings.port}: it was taken)"
        return Check("port", True, f"the hub listens on {address.port}{other}")
    if settings.port and _listens(settings.host, settings.port):
        fix = f"end what listens there, or choose another: mcp-bridge up --port {settings.port + 1}, BRIDGE_PORT"
        return Check("port", False, f"another program listens on {settings.port}", fix, optional=True)
    return Check("port", True, f"{settings.port or 'any'} is free")


def _listens(host: str, number: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, number)) == 0


def version_of(client: Client) -> str:
    """What the client's program says its version is; empty when it has none here."""
    program = shutil.which(client.program) if client.program else None
    if program is None:
        return ""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=15, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+\.\d+[.\d\w-]*", done.stdout)
    return found[0] if found else ""
