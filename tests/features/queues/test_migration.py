"""A queue that was made before tasks had a `ready` table goes on where it stood."""

from __future__ import annotations

import sqlite3

from hub import features
from hub.storage.migrate import apply_migrations
from hub.storage.sqlite import DIALECT

LATER = 10_000
TASKS = [  # seq, group, state, lease (token, until, ready_at) or None
    (1, None, "open", None),
    (2, None, "open", ("", 0, 0)),  # handed back
    (3, None, "open", ("t", LATER, 0)),  # leased
    (4, None, "open", ("", 0, LATER)),  # delayed
    (5, None, "open", ("", LATER, 0)),  # assigned
    (6, None, "done", None),
    (7, "g", "done", None),
    (8, "g", "open", None),
    (9, "g", "open", None),
    (10, "h", "open", ("t", LATER, 0)),
    (11, "h", "open", None),
]


def test_what_was_ready_before_is_ready_after_the_upgrade_and_nothing_else() -> None:
    features.load_registry()
    migrations = features.migrations()
    at = next(index for index, migration in enumerate(migrations) if migration.name == "queues-0005")
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    apply_migrations(connection, [*migrations[:at]], DIALECT)
    for seq, group, state, lease in TASKS:
        connection.execute(
            "insert into task (log, seq, sender, body, priority, sort_at, ready_at, expires_at, state, attempts, grp)"
            " values (5, ?, 1, '1', 'normal', ?, 0, 0, ?, 0, ?)",
            (seq, 100 - seq, state, group),
        )
        if lease is not None:
            connection.execute(
                "insert into lease (log, seq, token, agent, attempt, until, ready_at) values (5, ?, ?, 2, 1, ?, ?)",
                (seq, *lease),
            )
    apply_migrations(connection, migrations, DIALECT)
    ready = connection.execute("select log, sort_at, seq from ready order by sort_at, seq").fetchall()
    assert [tuple(row) for row in ready] == [(5, 92, 8), (5, 98, 2), (5, 99, 1)]
