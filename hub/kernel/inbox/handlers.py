"""Reading the inbox and a room's events; acknowledging. Polling acknowledges first, in a write of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from hub.core.call import Call
from hub.core.cursor import Mark, decode, encode_mark
from hub.core.errors import CursorAhead
from hub.core.names import split_id
from hub.core.operation import Done
from hub.kernel.inbox.contract import (
    ACK,
    EVENTS,
    POLL,
    READ,
    UNREAD,
    AckInbox,
    CountUnread,
    Events,
    Gap,
    Inbox,
    PollInbox,
    ReadEvents,
    ReadInbox,
    Unread,
)
from hub.kernel.inbox.entries import inbox_streams, read_inbox, readable, trimmed
from hub.kernel.inbox.positions import acknowledge
from hub.kernel.inbox.receipts import mark_proved
from hub.kernel.rooms.handlers import wake_of
from hub.kernel.rooms.project import enter
from hub.log.handler import handles
from hub.log.log import Stream, load_stream, read_events
from hub.storage.interface import Tx

LATER_PAGES: Final = 10
LATER_BYTES: Final = 4_000_000


@handles(READ)
def read(tx: Tx, call: Call, request: ReadInbox) -> Inbox:
    return _read(tx, call, request)


@handles(POLL)
def poll(tx: Tx, call: Call, request: PollInbox) -> Inbox:
    """The reading half; the dispatcher runs `acknowledge` before it."""
    return _read(tx, call, request)


def _read(tx: Tx, call: Call, request: ReadInbox | PollInbox) -> Inbox:
    logs = inbox_streams(tx, call.agent)
    if request.room is not None:
        only = enter(tx, call, request.room).log
        logs = [log for log in logs if log == only]
    call.watch(-call.agent)
    after = None
    rules = {log: wake_of(tx, log, call.agent) for log in logs} if request.wake == "concerned" else {}
    if isinstance(request, ReadInbox):
        logs = [log for log in logs if rules.get(log) != "none"]
        after = decode(request.after) if request.after else None
    page = read_inbox(tx, call, logs, request.limit, request.max_bytes, after)
    if request.wake == "all":
        call.watch(*logs)
        return page
    call.watch(*(log for log, rule in rules.items() if rule == "all"))
    waking = _waking(tx, page, rules)
    wakes = bool(waking) or _wakes_later(tx, call, page, logs, rules)
    return page.model_copy(update={"wakes": wakes, "waking": waking})


def _wakes_later(tx: Tx, call: Call, page: Inbox, logs: list[int], rules: Mapping[int, str]) -> bool:
    """Whether a later page may end the wait: somebody far behind is still told what concerns it."""
    for _ in range(LATER_PAGES):
        if not page.has_more:
            return False
        page = read_inbox(tx, call, logs, 500, LATER_BYTES, decode(page.cursor))
        if _waking(tx, page, rules):
            return True
    return page.has_more  # so much waits that it is time to look


def _waking(tx: Tx, page: Inbox, rules: Mapping[int, str]) -> tuple[str, ...]:
    """Entries of the page that may end a wait under the member's own wake rules."""
    by_name = {load_stream(tx, log).name: rule for log, rule in rules.items()}
    return tuple(
        entry.id
        for entry in page.messages
        if (entry.concerns_me and by_name.get(entry.room, "concerned") != "none") or by_name.get(entry.room) == "all"
    )


@handles(UNREAD)
def count_unread(tx: Tx, call: Call, request: CountUnread) -> Unread:
    page = read_inbox(tx, call, inbox_streams(tx, call.agent), 50, 1_000_000)
    return Unread(unread=page.unread, concerning=sum(entry.concerns_me for entry in page.messages))


@handles(ACK)
def ack(tx: Tx, call: Call, request: AckInbox) -> Done:
    if request.cursor is not None:
        acknowledge(tx, call, readable(tx, call.agent, decode(request.cursor)))
    for message in request.messages:
        if message.startswith("m"):  # a notice has no receipt
            mark_proved(tx, call, *split_id("m", message))
    return Done()


@handles(EVENTS)
def events(tx: Tx, call: Call, request: ReadEvents) -> Events:
    entered = enter(tx, call, request.room)
    stream = load_stream(tx, entered.log)
    start = entered.member.joined_seq - 1 if entered.room.settings.history == "since_join" else 0
    after, gap = resume(stream, decode(request.cursor or "c").get(stream.log), start)
    found = read_events(tx, stream.log, after, request.limit)
    call.watch(stream.log)
    reached = found[-1].seq if found else after
    return Events(
        items=tuple(orjson.loads(event.frame()) for event in found),
        cursor=encode_mark(stream.log, stream.epoch, reached),
        has_more=reached < stream.head,
        gaps=(gap,) if gap else (),
    )


def resume(stream: Stream, mark: Mark | None, start: int = 0) -> tuple[int, Gap | None]:
    """Where reading goes on, and the gap when the cursor's history is not there any more (P5)."""
    if mark is None:
        return max(stream.floor, start), None
    if mark.epoch != stream.epoch:
        gap = Gap(room=stream.name, reason="epoch", from_seq=0, to_seq=mark.seq, oldest_seq=stream.floor + 1)
        return max(stream.floor, start), gap
    if mark.seq > stream.head:
        raise CursorAhead(f"that cursor is ahead of room {stream.name!r}, whose head is {stream.head}")
    if mark.seq < stream.floor:
        return max(stream.floor, start), trimmed(stream, mark.seq)
    return max(mark.seq, start), None
