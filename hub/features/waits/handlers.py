"""Keeping, reading and finishing waits."""

from __future__ import annotations

import orjson

from hub.core.call import Call
from hub.core.errors import NotFound
from hub.core.operation import Done
from hub.core.times import rfc3339
from hub.features.waits.contract import CREATE, FINISH, GET, CreateWait, FinishWait, GetWait, Wait
from hub.log.handler import handles
from hub.storage.interface import Row, Tx


class WaitNotFound(NotFound):
    code, title = "wait-not-found", "Waiting call not found"


@handles(CREATE)
def create_wait(tx: Tx, call: Call, request: CreateWait) -> Wait:
    tx.run("delete from waiting where expires_at < :now", now=call.now_ms)
    made = "w" + call.random(16).hex()
    tx.stage(
        "waiting",
        (
            made,
            call.agent,
            request.reader,
            request.tool,
            orjson.dumps(request.arguments).decode(),
            "working",
            call.now_ms,
            call.now_ms,
            call.now_ms + request.ttl_s * 1000,
            None,
        ),
    )
    return get_wait(tx, call, GetWait(wait=made))


@handles(GET)
def get_wait(tx: Tx, call: Call, request: GetWait) -> Wait:
    row = _row(tx, call, request.wait)
    return Wait(
        wait=row[0],
        reader=row[1],
        tool=row[2],
        arguments=orjson.loads(row[3]),
        status=row[4],
        created_at=rfc3339(row[5]),
        updated_at=rfc3339(row[6]),
        expires_in_s=max(0, (row[7] - call.now_ms) // 1000),
        result=None if row[8] is None else orjson.loads(row[8]),
    )


@handles(FINISH)
def finish_wait(tx: Tx, call: Call, request: FinishWait) -> Done:
    _row(tx, call, request.wait)
    tx.run(
        "update waiting set status = :status, result = :result, updated_at = :now where id = :id and status = 'working'",
        status=request.status,
        result=None if request.result is None else orjson.dumps(request.result).decode(),
        now=call.now_ms,
        id=request.wait,
    )
    return Done()


def _row(tx: Tx, call: Call, wait: str) -> Row:
    row = tx.row(
        "select id, reader, tool, arguments, status, created_at, updated_at, expires_at, result from waiting"
        " where id = :id and agent = :agent and expires_at >= :now",
        id=wait,
        agent=call.agent,
        now=call.now_ms,
    )
    if row is None:
        raise WaitNotFound(
            f"waiting call {wait!r} not found; it expired, or another agent made it. Call the tool again"
        )
    return row
