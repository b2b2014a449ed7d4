"""Apply named migrations once, in order, in one transaction; refuse a database written by a newer version."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from hub.storage.interface import Migration, StoreError


def apply_migrations(
    connection: sqlite3.Connection, migrations: Sequence[Migration], dialect: Mapping[str, str]
) -> None:
    """Bring the schema up to date. Raises StoreError when the database knows migrations that this version does not."""
    connection.execute("begin immediate").close()
    try:
        connection.execute(
            "create table if not exists migration (name text primary key, number integer) strict"
        ).close()
        done = [row[0] for row in connection.execute("select name from migration order by number").fetchall()]
        for migration in pending(done, migrations):
            for statement in migration.statements(dialect):
                connection.execute(statement).close()
            connection.execute(
                "insert into migration select ?, coalesce(max(number), 0) + 1 from migration", (migration.name,)
            ).close()
        connection.execute("commit").close()
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback").close()
        raise


def pending(done: Sequence[str], migrations: Sequence[Migration]) -> list[Migration]:
    """Migrations not applied yet, in order."""
    known = {migration.name for migration in migrations}
    if unknown := [name for name in done if name not in known]:
        raise StoreError(
            f"this database was written by a newer version (unknown: {', '.join(unknown[:3])}); "
            "upgrade multi-agent-bridge, or restore a backup made by this version"
        )
    return [migration for migration in migrations if migration.name not in set(done)]
