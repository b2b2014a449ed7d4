"""Every table is there for something."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from hub import features
from hub.storage.migrate import apply_migrations
from hub.storage.sqlite import DIALECT

ROOT = Path(__file__).parents[2]


def test_every_table_is_read_or_written_by_something() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        apply_migrations(db, features.migrations(), DIALECT)
        tables = {name for (name,) in db.execute("select name from sqlite_schema where type = 'table'")}
    files = [file for file in sorted((ROOT / "hub").rglob("*.py")) if file.name != "schema.py"]
    source = "\n".join(file.read_text("utf-8") for file in files)
    used = re.findall(r"\b(?:from|into|update|join)\s+(\w+)|[\"'](\w+)[\"']", source)
    assert tables - {name for pair in used for name in pair} == set()
