"""The data directory: one hub at a time, private to its user, on a local file system."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from hub.storage.interface import StoreError

_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "glusterfs"})


def make_private(directory: Path) -> None:
    """Create the directory, readable by its user only."""
    directory.mkdir(parents=True, exist_ok=True)
    if os.name == "posix":
        directory.chmod(0o700)


class DirectoryLock:
    """Held while a hub has the directory open; a dead process never holds it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = FileLock(directory / "hub.lock", blocking=False)

    def acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise StoreError(
                f"another hub is using {self._directory}; use that one, stop it, or give this one its own BRIDGE_HOME"
            ) from None

    def release(self) -> None:
        self._lock.release()


def refuse_network_file_system(directory: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """SQLite's locks are not reliable over a network; raise StoreError instead of losing data later."""
    if not sys.platform.startswith("linux") or not mounts.exists():
        return
    where = directory.resolve()
    best = ("", "")
    for line in mounts.read_text(errors="replace").splitlines():
        fields = line.split()
        point = fields[1].replace("\\040", " ")
        if where.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, fields[2])
    if best[1] in _NETWORK:
        raise StoreError(
            f"{directory} is on a network file system ({best[1]}), where SQLite can lose data; "
            "choose a local directory with BRIDGE_HOME, or use PostgreSQL (BRIDGE_DATABASE_URL)"
        )
