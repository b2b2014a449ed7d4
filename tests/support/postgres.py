"""A throw-away PostgreSQL server for a test session."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = next((p for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of a server's empty database; a missing PostgreSQL is a failure, not a skip."""
    assert BIN is not None, "PostgreSQL is not installed; .ci/install does it"
    home = Path(tempfile.mkdtemp(prefix="bridge-pg-"))
    user = _ordinary_user(home)
    _run(user, [str(BIN / "initdb"), "-D", str(home / "data"), "-A", "trust", "-U", "bridge", "--no-sync"])
    options = f"-c listen_addresses= -c unix_socket_directories={home} -c max_connections=60"
    _run(user, [str(BIN / "pg_ctl"), "-D", str(home / "data"), "-l", str(home / "log"), "-o", options, "-w", "start"])
    try:
        yield f"postgresql://bridge@/postgres?host={home}"
    finally:
        _run(user, [str(BIN / "pg_ctl"), "-D", str(home / "data"), "-m", "immediate", "stop"])
        shutil.rmtree(home, ignore_errors=True)


def _ordinary_user(home: Path) -> str | None:
    """PostgreSQL refuses to run as root; use its own user then."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("postgres")
    os.chown(home, entry.pw_uid, entry.pw_gid)
    home.chmod(0o755)
    return "postgres"


def _run(user: str | None, command: list[str]) -> None:
    subprocess.run(
        command, check=True, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=60
    )
