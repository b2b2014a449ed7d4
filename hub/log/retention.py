"""Trimming a stream's oldest events: the state at the new floor is kept as a snapshot in the same transaction.

The state at the floor is made by replaying the trimmed events onto the previous snapshot under a scratch stream id
(minus the stream's), so a step costs what it trims, however long the stream is. Readers behind the floor get a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from hub.core.event import Placed
from hub.log.log import agent_name, load_body, load_stream, project_event
from hub.log.rebuild import Rows, clear, dump, insert, save_snapshot
from hub.storage.interface import Tx

STEP: Final = 500  # events per transaction, so that a long trim never stalls others


def trim(tx: Tx, log: int, upto: int, tables: Sequence[str], by_event: Sequence[str]) -> int:
    """Remove events up to `upto` (at most STEP of them); the new floor.

    `tables` are the projections, `by_event` those whose rows go with their event.
    """
    stream = load_stream(tx, log)
    upto = min(upto, stream.floor + STEP, stream.head)
    if upto <= stream.floor:
        return stream.floor
    kept = [table for table in tables if table not in by_event]
    save_snapshot(tx, log, upto, _state_at(tx, log, stream.floor, upto, tables, kept))
    tx.run("delete from event where log = :log and seq <= :upto", log=log, upto=upto)
    for table in by_event:
        tx.run(_delete_upto(table), log=log, upto=upto)
    tx.run("update log set floor = :floor where id = :log", floor=upto, log=log)
    tx.remember(("stream", log), stream._replace(floor=upto))
    tx.rewrote(log)
    return upto


def _state_at(tx: Tx, log: int, floor: int, upto: int, tables: Sequence[str], kept: Sequence[str]) -> Rows:
    """Rows as they stood after event `upto`, made under the scratch id and taken away again."""
    scratch = -log
    snapshot = tx.row("select rows from snapshot where log = :log", log=log)
    if snapshot is not None:
        insert(tx, _moved(orjson.loads(bytes(snapshot[0])), scratch))
    for row in tx.rows(
        "select seq, type, at, actor, data, tombstone from event where log = :log and seq > :floor and seq <= :upto"
        " order by seq",
        log=log,
        floor=floor,
        upto=upto,
    ):
        body = load_body(row[1], bytes(row[4]))
        at = Placed(scratch, "", row[0], row[2], row[3], agent_name(tx, row[3]), "", row[5])
        project_event(tx, at, body)
    made = _moved(dump(tx, scratch, kept), log)
    clear(tx, scratch, tables)
    return made


def _moved(rows: Mapping[str, list[list[Any]]], log: int) -> Rows:
    """The same rows under another stream id (the first column of every projection)."""
    return {table: [[log, *row[1:]] for row in some] for table, some in rows.items()}


def over_limit(tx: Tx, log: int, now_ms: int, days: int | None, events: int | None, size_bytes: int | None) -> int:
    """Up to which number a room's retention lets events go; the floor when nothing is over."""
    stream = load_stream(tx, log)
    upto = stream.floor
    if events is not None:
        upto = max(upto, stream.head - events)
    if days is not None:
        row = tx.row(
            "select coalesce(max(seq), 0) from event where log = :log and at < :before",
            log=log,
            before=now_ms - days * 86_400_000,
        )
        upto = max(upto, row[0] if row is not None else 0)
    if size_bytes is not None:
        upto = max(upto, _over_size(tx, log, size_bytes))
    return upto


def _over_size(tx: Tx, log: int, size_bytes: int) -> int:
    row = tx.row(
        "select coalesce(max(seq), 0) from (select seq, sum(length(data)) over (order by seq desc) as newer"
        " from event where log = :log) as sized where newer > :most",
        log=log,
        most=size_bytes,
    )
    return 0 if row is None else int(row[0])


def _delete_upto(table: str) -> Any:  # table names come from the schema modules, never from input
    return f"delete from {table} where log = :log and seq <= :upto"
