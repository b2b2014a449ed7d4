"""Rows of a stream as a snapshot, and rebuilding them from the log. What to trim and when is retention's business."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from hub.log.log import load_stream, replay
from hub.storage.interface import Tx

Rows = Mapping[str, list[list[Any]]]


def dump(tx: Tx, log: int, tables: Sequence[str]) -> dict[str, list[list[Any]]]:
    """All projection rows of a stream by table, in a stable order. Blobs are base64."""
    return {
        table: sorted(
            ([_plain(value) for value in cast("Any", row)] for row in tx.rows(_select(table), log=log)),
            key=lambda row: orjson.dumps(row),
        )
        for table in tables
    }


def insert(tx: Tx, rows: Rows) -> None:
    """Put dumped rows back."""
    for table, some in rows.items():
        for row in some:
            tx.stage(cast("Any", table), tuple(_value(value) for value in row))


def clear(tx: Tx, log: int, tables: Sequence[str]) -> None:
    """Delete a stream's projection rows."""
    for table in tables:
        tx.run(_delete(table), log=log)


def save_snapshot(tx: Tx, log: int, seq: int, rows: Rows) -> None:
    """Keep the rows as they stood after event `seq`, so that events up to it may go."""
    tx.run(
        "insert into snapshot (log, seq, rows) values (:log, :seq, :rows)"
        " on conflict (log) do update set seq = excluded.seq, rows = excluded.rows",
        log=log,
        seq=seq,
        rows=orjson.dumps(rows),
    )


def rebuild(tx: Tx, log: int, tables: Sequence[str], by_event: Sequence[str] = ()) -> None:
    """Delete a stream's projection rows and make them again from its snapshot and its events."""
    clear(tx, log, tables)
    snapshot = tx.row("select rows from snapshot where log = :log", log=log)
    if snapshot is not None:
        insert(tx, orjson.loads(bytes(snapshot[0])))
    replay(tx, log)
    floor = load_stream(tx, log).floor
    for table in by_event:
        tx.run(_delete_upto(table), log=log, floor=floor)


def _plain(value: Any) -> Any:
    return {"b": base64.b64encode(value).decode()} if isinstance(value, bytes | memoryview) else value


def _value(value: Any) -> Any:
    return base64.b64decode(value["b"]) if isinstance(value, dict) else value


def _select(table: str) -> Any:  # table names come from the schema modules, never from input
    return f"select * from {table} where log = :log"


def _delete(table: str) -> Any:
    return f"delete from {table} where log = :log"


def _delete_upto(table: str) -> Any:
    return f"delete from {table} where log = :log and seq <= :floor"
