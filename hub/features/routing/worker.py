"""Carries messages to where rules send them: a durable consumer of what `policies` noted.

Each sending is done and struck off in one transaction, so it happens once. It acts with the rights its rule's author
has at that moment; what is refused is counted at the rule, what is only full or paused is tried again.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from hub.core.access import ALL_SCOPES, Principal
from hub.core.call import Call
from hub.core.errors import Forbidden, HubError, RateLimited, RoomNotFound
from hub.core.names import make_id
from hub.features.queues.contract import EnqueueTask, GetQueue
from hub.features.routing import contract as c
from hub.features.routing.policies import PASSED
from hub.kernel.agents.project import load_agent
from hub.kernel.messages.contract import Message, MessageRedacted
from hub.kernel.messages.draft import Draft
from hub.kernel.messages.post import post
from hub.kernel.messages.project import REDACTED, edits_of, find_view_row, mark, message_row, tombstone, view
from hub.kernel.rooms.project import Entered, load_member, load_room, need_channel
from hub.log.handler import HANDLERS, note_of
from hub.log.log import agent_name, append, blank, hold
from hub.log.worker import Worker
from hub.storage.interface import Row, Tx

BATCH: Final = 50
TRIES: Final = 8
WORKERS: Final[list[Worker]] = []  # everything it does is in the database, so the clockwork runs it (see chores.py)


def check_queue(tx: Tx, call: Call, queue: str) -> None:
    """Raises QueueNotFound for a queue the caller may not use."""
    HANDLERS[GetQueue](tx, call, GetQueue(queue=queue))


def send_due(tx: Tx, call: Call) -> bool:
    """Carry up to 50 messages of one room to one place; whether there is more."""
    first = tx.row(
        "select log, target from routing_outbox where due_at <= :now order by due_at, log, seq limit 1", now=call.now_ms
    )
    if first is None:
        return False
    for log in sorted({first[0], first[1]} - {0}):
        hold(tx, log)
    rows = tx.rows(
        "select log, seq, rule, number, author, target, action, passed, tries from routing_outbox"
        " where log = :log and target = :target and due_at <= :now order by seq, rule, number limit :most",
        log=first[0],
        target=first[1],
        now=call.now_ms,
        most=BATCH,
    )
    for row in rows:
        _send_one(tx, call, row)
    return True


def _send_one(tx: Tx, call: Call, row: Row) -> None:
    try:
        _send(tx, call, row)
    except RateLimited as busy:
        _later(tx, call, row, busy)
    except HubError as refused:
        _failed(tx, call, row, refused)
    else:
        _strike(tx, row)


def _place(row: Row) -> dict[str, Any]:
    return {"log": row[0], "seq": row[1], "rule": row[2], "number": row[3]}


def _strike(tx: Tx, row: Row) -> None:
    tx.run(
        "delete from routing_outbox where log = :log and seq = :seq and rule = :rule and number = :number",
        **_place(row),
    )


def _later(tx: Tx, call: Call, row: Row, busy: RateLimited) -> None:
    if row[8] + 1 >= TRIES:
        _failed(tx, call, row, busy)
        return
    tx.run(
        "update routing_outbox set tries = tries + 1, due_at = :due"
        " where log = :log and seq = :seq and rule = :rule and number = :number",
        due=call.now_ms + (1000 << row[8]),
        **_place(row),
    )


def _failed(tx: Tx, call: Call, row: Row, error: HubError) -> None:
    _strike(tx, row)
    if (note := note_of(error)) is not None:
        note(tx)
    tx.run(
        "update routing_hit set failures = failures + 1, failure = :why where log = :log and rule = :rule",
        why=f"{error.detail[:400]} [{error.code}]",
        log=row[0],
        rule=row[2],
    )


def _send(tx: Tx, call: Call, row: Row) -> None:
    log, seq = row[0], row[1]
    found = find_view_row(tx, log, seq)
    if found is None or tombstone(message_row(found), call.now_ms):
        return  # blanked before it could be sent on
    message = view(tx, found, call.now_ms)
    data = orjson.loads(row[6])
    action: c.Move | c.Copy = (c.Move if data["do"] == "move" else c.Copy).model_validate(data)
    trail = {
        "from": message.sender,
        "room": message.room,
        "message": message.id,
        "rule": make_id("r", log, row[2]),
        "passed": orjson.loads(row[7]),
    }
    if action.queue is not None:
        _enqueue(tx, call, row, action.queue, message, trail)
    else:
        _post(tx, call, row, action, message, trail)
    if isinstance(action, c.Move):
        reason = f"moved to {action.queue or action.room}"
        append(tx, call, log, MessageRedacted(message=message.id, reason=reason), actor=0)
        blank(tx, log, [seq, *edits_of(tx, log, seq)], "redacted")
        mark(tx, log, seq, REDACTED)


def _as_author(call: Call, tx: Tx, author: int) -> Call:
    """The hub, with the rights of the rule's author's person."""
    who = Principal(agent=0, name="hub", kind="script", scopes=ALL_SCOPES, owner=load_agent(tx, author).owner)
    return Call(who, call.now_ms, call.random, call.presence)


def _enqueue(tx: Tx, call: Call, row: Row, queue: str, message: Message, trail: dict[str, Any]) -> None:
    body = {"text": message.text, "metadata": message.metadata, **{k: trail[k] for k in ("from", "room", "message")}}
    request = EnqueueTask(queue=queue, body=body, priority=message.priority, group=None)
    HANDLERS[EnqueueTask](tx, _as_author(call, tx, row[4]), request)


def _post(tx: Tx, call: Call, row: Row, action: c.Move | c.Copy, message: Message, trail: dict[str, Any]) -> None:
    log, author = row[5], row[4]
    member = load_member(tx, log, author) if log else None
    if member is None:
        raise RoomNotFound(f"{agent_name(tx, author)}, whose rule it is, is not in room {action.room!r}")
    room = load_room(tx, log)
    if member.access == "reader" or room.archived_at is not None:
        raise Forbidden(f"{agent_name(tx, author)}, whose rule it is, may not write in room {room.name!r}")
    channel = action.channel or "general"
    need_channel(tx, log, channel)
    text = f"{message.sender} in {message.room}: {message.text}"[: 256 * 1024]
    metadata = {**{k: v for k, v in message.metadata.items() if k != PASSED}, PASSED: trail}
    draft = Draft(text=text, channel=channel, priority=message.priority, metadata=metadata)
    post(tx, _as_author(call, tx, author), Entered(room, member), draft)
