"""What may be handed out now: the `ready` table in hand-out order, and its first rows in memory.

An open task is in exactly one place: in this table; or it has a lease that runs or waits for its time; or an older
task of its group is not finished. So a claim looks at what it takes and at nothing else, however much is leased,
delayed or blocked.
"""

from __future__ import annotations

from typing import Final, LiteralString, NamedTuple

from hub.features.queues.tasks import COLUMNS, KEPT_BODY, TaskRow, is_first, task_row
from hub.storage.interface import Tx

_AHEAD: Final = 16  # rows kept in memory: more than a claim takes at once
READY: Final[LiteralString] = (
    "select " + COLUMNS + " from ready join task on task.log = ready.log and task.seq = ready.seq"
    " left join lease on lease.log = ready.log and lease.seq = ready.seq"
    " where ready.log = :log order by ready.sort_at, ready.seq limit :limit"
)


class Ahead(NamedTuple):
    """The first rows of a queue's `ready` table; `more` says whether it goes on behind them."""

    rows: tuple[TaskRow, ...]
    more: bool

    def without(self, row: TaskRow) -> Ahead:
        if self.rows and self.rows[0].seq == row.seq:  # nearly always: who takes one takes the first
            return Ahead(self.rows[1:], self.more)
        return Ahead(tuple(one for one in self.rows if one.seq != row.seq), self.more)

    def with_new(self, row: TaskRow) -> Ahead:
        """A row more, in its place, as far as that is among those kept."""
        rows = sorted((*self.rows, row), key=lambda one: (one.sort_at, one.seq))
        if self.more and rows[-1] is row:
            return self
        return Ahead(tuple(rows[:_AHEAD]), self.more or len(rows) > _AHEAD)


def ready_tasks(tx: Tx, log: int, limit: int) -> list[TaskRow]:
    """What may be handed out now, next one first."""
    return [task_row(row) for row in tx.rows(READY, log=log, limit=limit)]


def next_ready(tx: Tx, log: int, limit: int) -> tuple[TaskRow, ...]:
    """Like `ready_tasks`, for up to 10, from memory where this process is the only writer."""
    ahead = _known(tx, log)
    if ahead is None or (ahead.more and len(ahead.rows) < limit):
        rows = ready_tasks(tx, log, _AHEAD)
        ahead = Ahead(tuple(rows), len(rows) == _AHEAD)
        tx.remember(_key(log), ahead)
    return ahead.rows[:limit]


def enter_new(tx: Tx, log: int, row: TaskRow) -> None:
    """A task that was never handed out is ready."""
    tx.stage("ready", (log, row.sort_at, row.seq))
    if (ahead := _known(tx, log)) is not None:
        short = row if row.body is None or len(row.body) <= KEPT_BODY else row._replace(body=None)
        tx.remember(_key(log), ahead.with_new(short))


def enter_again(tx: Tx, log: int, row: TaskRow) -> None:
    """A task that came back is ready, unless it has to wait for its group."""
    if is_first(tx, log, row):
        _enter(tx, log, row.sort_at, row.seq)


def leave(tx: Tx, log: int, row: TaskRow) -> None:
    """The task is handed out or over."""
    tx.defer(
        ("ready", log, row.seq),
        "delete from ready where log = :log and sort_at = :sort_at and seq = :seq",
        log=log,
        sort_at=row.sort_at,
        seq=row.seq,
    )
    if (ahead := _known(tx, log)) is not None:
        tx.remember(_key(log), ahead.without(row))


def open_group(tx: Tx, log: int, group: str) -> None:
    """The first task of a group ended: the next one is ready, if it does not wait for its own time."""
    row = tx.row(
        "select task.seq, task.sort_at, lease.until, lease.ready_at from task"
        " left join lease on lease.log = task.log and lease.seq = task.seq"
        " where task.log = :log and grp = :grp and state = 'open' order by task.seq limit 1",
        log=log,
        grp=group,
    )
    if row is not None and not row[2] and not row[3]:
        _enter(tx, log, row[1], row[0])


def close_behind(tx: Tx, log: int, row: TaskRow) -> None:
    """An older task of its group is back: the younger ones wait again."""
    tx.run(
        "delete from ready where log = :log and (sort_at, seq) in ("
        "select sort_at, seq from task where log = :log and grp = :grp and state = 'open' and seq > :seq)",
        log=log,
        grp=row.group,
        seq=row.seq,
    )
    tx.remember(_key(log), None)


def _enter(tx: Tx, log: int, sort_at: int, seq: int) -> None:
    tx.run(
        "insert into ready (log, sort_at, seq) values (:log, :sort_at, :seq) on conflict do nothing",
        log=log,
        sort_at=sort_at,
        seq=seq,
    )
    tx.remember(_key(log), None)


def _key(log: int) -> tuple[str, int]:
    return ("ready", log)


def _known(tx: Tx, log: int) -> Ahead | None:
    """The rows in memory; None when they have to be read."""
    return tx.memo(_key(log), lambda: None)
