"""The bytes of files beside a backup of the database, and back. A place is written once, so links are as good as copies.

A backup `copy.db` has its files in `copy.db.files/`; a restore keeps what was there in `hub.db.before-restore.files/`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path


def files_of(database: Path) -> Path:
    """Where the files of a backup are."""
    return database.with_name(database.name + ".files")


def back_up_files(database: Path, blobs: Path) -> tuple[int, int]:
    """Put all bytes that a copied database names beside it; how many there are, and how many were not found.

    What is not found was deleted and collected since the copy was made (or had been lost before).
    """
    target, copied, missing = files_of(database), 0, 0
    target.mkdir(mode=0o700)
    for place in _places(database):
        try:
            take(blobs / place, target / place)
            copied += 1
        except FileNotFoundError:
            missing += 1
    _to_disk()
    return copied, missing


def restore_files(source: Path, kept: Path, blobs: Path) -> None:
    """Put the files of backup `source` in place, and those that were there beside the database `kept`.

    A backup without files leaves what is there. What no row names goes at the next start.
    """
    fresh = blobs.with_name(blobs.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    given = files_of(source) if files_of(source).is_dir() else blobs
    for path in _all_files(given):
        take(path, fresh / path.relative_to(given))
    _to_disk()
    shutil.rmtree(files_of(kept), ignore_errors=True)
    if blobs.exists():
        blobs.rename(files_of(kept))
    fresh.rename(blobs)


def _places(database: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        if connection.execute("select 1 from sqlite_master where name = 'blob'").fetchone():
            yield from (str(row[0]) for row in connection.execute("select place from blob order by place"))


def _all_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*/*")) if path.is_file() and path.parent.name != "incoming")


def take(source: Path, target: Path) -> None:
    """The same bytes at `target`: a link on the same disk, else a copy."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o600)


def _to_disk() -> None:
    if hasattr(os, "sync"):
        os.sync()
