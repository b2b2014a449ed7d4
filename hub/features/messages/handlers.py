"""One function per message operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import orjson

from hub.core.call import Call
from hub.core.cursor import encode_mark
from hub.core.errors import Forbidden, Invalid, MessageNotFound
from hub.core.event import Placed
from hub.core.names import direct_name, is_direct, make_id, split_id
from hub.core.operation import Done
from hub.core.times import rfc3339
from hub.features.messages import rules
from hub.features.messages.contract import (
    ACCEPT,
    ANSWERS,
    DIRECT,
    EDIT,
    FIND,
    GET,
    LIST,
    POST,
    QUESTIONS,
    REACT,
    RECEIPTS,
    REDACT,
    UNREACT,
    AcceptAnswer,
    Answers,
    EditMessage,
    FindMessage,
    GetAnswers,
    GetMessage,
    GetReceipts,
    ListMessages,
    ListQuestions,
    MessageResult,
    Messages,
    PostDirect,
    Posted,
    PostMessage,
    React,
    Receipts,
    RedactMessage,
    Unreact,
)
from hub.kernel.agents.project import need_agent
from hub.kernel.inbox.receipts import mark_one_seen
from hub.kernel.messages.contract import (
    AnswerAccepted,
    MessageEdited,
    MessageRedacted,
    ReactionAdded,
    ReactionRemoved,
)
from hub.kernel.messages.draft import Draft
from hub.kernel.messages.post import Named, address, answering, check_place, mention, names_of, post
from hub.kernel.messages.project import (
    SELECT,
    MessageRow,
    edits_of,
    find_view_row,
    load_message,
    message_row,
    message_seq,
    tombstone,
    view,
    with_extras,
)
from hub.kernel.rooms.contract import MemberJoined, RoomCreated, Settings
from hub.kernel.rooms.project import Entered, enter, enter_to_write, load_member, load_members, stream_id
from hub.log.handler import handles, replays
from hub.log.log import agent_name, append, blank, create_stream, load_stream, read_event
from hub.storage.interface import Row, Tx


@handles(POST)
def post_message(tx: Tx, call: Call, request: PostMessage) -> Posted:
    entered = enter_to_write(tx, call, request.room)
    to = _peer(tx, call, entered) if entered.room.direct else address(tx, call, entered, request.to)
    draft = _draft(tx, entered, request, to, request.channel)
    check_place(tx, entered, draft)
    draft = answering(tx, call, entered, draft)
    placed = post(tx, call, entered, draft)
    if request.intent == "ack" and draft.reply_seq is not None:
        mark_one_seen(tx, call, entered.log, draft.reply_seq)
    return _posted(tx, call, placed, names_of(draft.to))


def _peer(tx: Tx, call: Call, entered: Entered) -> Named:
    """The other one of a direct conversation: always addressed."""
    return tuple((agent_name(tx, m.agent), m.agent) for m in load_members(tx, entered.log) if m.agent != call.agent)


def _visible_to(call: Call, room: str, to: Sequence[str]) -> str:
    if is_direct(room):
        return f"only {call.principal.name} and {next(iter(to), 'one other')}"
    return f"every member of {room}"


@handles(DIRECT)
def post_direct(tx: Tx, call: Call, request: PostDirect) -> Posted:
    peer = need_agent(tx, request.agent)
    if peer.id == call.agent:
        raise Invalid("a direct message needs another agent; this one is you")
    entered = enter(tx, call, _direct(tx, call, peer.id, peer.name))
    draft = answering(tx, call, entered, _draft(tx, entered, request, ((peer.name, peer.id),), "general"))
    placed = post(tx, call, entered, draft)
    return _posted(tx, call, placed, names_of(draft.to))


def _direct(tx: Tx, call: Call, peer: int, name: str) -> str:
    """Name of the direct conversation, made when it is the first message."""
    room = direct_name(call.agent, peer)
    if stream_id(tx, room) is None:
        log = create_stream(tx, call, "dm", room).log
        me = call.principal
        append(
            tx,
            call,
            log,
            RoomCreated(settings=Settings(), owner=me.owner),
            MemberJoined(agent=me.agent, name=me.name, access="member"),
            MemberJoined(agent=peer, name=name, access="member"),
        )
        tx.wake(-peer)
    return room


def _draft(tx: Tx, entered: Entered, request: PostMessage | PostDirect, to: Named, channel: str) -> Draft:
    return Draft(
        text=request.text,
        channel=channel,
        to=to,
        mentions=mention(tx, entered, request.text, request.mentions),
        kind=request.kind,
        intent=request.intent,
        priority=request.priority,
        reply_to=request.reply_to,
        needs_ack=request.needs_ack,
        attachments=request.attachments,
        metadata=request.metadata,
        ttl_s=request.ttl_s,
    )


@replays(POST)
@replays(DIRECT)
def posted_again(tx: Tx, call: Call, log: int, seq: int) -> Posted:
    """The answer of an earlier send, from its event."""
    event = read_event(tx, log, seq)
    stream = load_stream(tx, log)
    assert event is not None, "trimmed events are older than kept keys"
    to = tuple(orjson.loads(event.data)["to"]) if event.data else ()
    return Posted(
        id=make_id("m", log, seq),
        room=stream.name,
        seq=seq,
        cursor=encode_mark(log, stream.epoch, seq),
        at=rfc3339(event.at_ms),
        visible_to=_visible_to(call, stream.name, to),
        to=to,
    )


def _posted(tx: Tx, call: Call, placed: Placed, to: tuple[str, ...]) -> Posted:
    stream = load_stream(tx, placed.log)
    return Posted.trusted(
        deduplicated=False,
        id=make_id("m", placed.log, placed.seq),
        room=placed.room,
        seq=placed.seq,
        cursor=stream.cursor,
        at=rfc3339(placed.at_ms),
        visible_to=_visible_to(call, placed.room, to),
        to=to,
    )


@handles(LIST)
def list_messages(tx: Tx, call: Call, request: ListMessages) -> Messages:
    entered = enter(tx, call, request.room)
    low, high = _window(entered, request)
    rows, more = _page(tx, entered.log, low, high, request)
    found = with_extras(tx, entered.log, [view(tx, row, call.now_ms) for row in rows])
    return Messages(items=tuple(found), cursor=load_stream(tx, entered.log).cursor, has_more=more)


def _window(entered: Entered, request: ListMessages) -> tuple[int, int]:
    """Numbers strictly between which to look; a room may hide what was before one joined."""
    low = message_seq(entered.log, request.after) if request.after else 0
    high = message_seq(entered.log, request.before) if request.before else 2**62
    if entered.room.settings.history == "since_join":
        low = max(low, entered.member.joined_seq)
    return low, high


_WHERE: LiteralString = (
    "where message.log = :log and message.seq > :low and message.seq < :high"
    " and (:channel = '' or channel = :channel)"
    " and (:thread = 0 or message.root = :thread or message.seq = :thread)"
    " order by message.seq "
)


def _page(tx: Tx, log: int, low: int, high: int, request: ListMessages) -> tuple[list[Row], bool]:
    """One page in order; forwards after a message, else the newest before the end."""
    thread = message_seq(log, request.thread) if request.thread else 0
    forward = request.after is not None
    direction: LiteralString = "asc" if forward else "desc"
    rows = tx.rows(
        SELECT + _WHERE + direction + " limit :limit",
        log=log,
        low=low,
        high=high,
        channel=request.channel or "",
        thread=thread,
        limit=request.limit + 1,
    )
    kept = rows[: request.limit]
    return (kept if forward else kept[::-1]), len(rows) > request.limit


def _entered_message(tx: Tx, call: Call, room: str, message: str, *, write: bool = False) -> tuple[Entered, MessageRow]:
    entered = enter_to_write(tx, call, room) if write else enter(tx, call, room)
    found = load_message(tx, entered.log, message_seq(entered.log, message), message)
    if entered.room.settings.history == "since_join" and found.seq < entered.member.joined_seq:
        raise MessageNotFound(f"message {message!r} is from before you joined; this room shows only what came after")
    return entered, found


@handles(GET)
def get_message(tx: Tx, call: Call, request: GetMessage) -> MessageResult:
    entered, found = _entered_message(tx, call, request.room, request.message)
    return _result(tx, call, entered.log, found.seq, request.offset, request.max_bytes)


def _result(tx: Tx, call: Call, log: int, seq: int, offset: int = 0, max_bytes: int = 4_000_000) -> MessageResult:
    row = find_view_row(tx, log, seq)
    if row is None:
        raise MessageNotFound(f"message {make_id('m', log, seq)!r} not found in this room; ids come from history")
    message = with_extras(tx, log, [view(tx, row, call.now_ms)])[0]
    raw = message.text.encode()
    part = raw[offset : offset + max_bytes].decode(errors="ignore")
    end = offset + len(part.encode())
    whole = offset == 0 and end >= len(raw)
    return MessageResult(
        message=message if whole else message.model_copy(update={"text": part, "truncated": end < len(raw)}),
        offset=offset,
        size_bytes=len(raw),
        next_offset=end if end < len(raw) and part else None,
    )


@handles(FIND)
def find_message(tx: Tx, call: Call, request: FindMessage) -> MessageResult:
    log, _seq = split_id("m", request.message, MessageNotFound)
    if load_member(tx, log, call.agent) is None:
        raise MessageNotFound(f"message {request.message!r} not found in your rooms; ids come from results")
    entered, found = _entered_message(tx, call, load_stream(tx, log).name, request.message)
    return _result(tx, call, entered.log, found.seq)


@handles(ANSWERS)
def get_answers(tx: Tx, call: Call, request: GetAnswers) -> Answers:
    entered, question = _entered_message(tx, call, request.room, request.question)
    rows = tx.rows(
        SELECT + "where message.log = :log and message.root = :root and message.reply_to = :seq"
        " and message.sender <> :asker order by message.seq limit 20",
        log=entered.log,
        root=question.root or question.seq,
        seq=question.seq,
        asker=question.sender,
    )
    call.watch(entered.log)
    shown = [view(tx, row, call.now_ms) for row in rows if not tombstone(message_row(row), call.now_ms)]
    return Answers(items=tuple(shown))


@handles(EDIT)
def edit_message(tx: Tx, call: Call, request: EditMessage) -> MessageResult:
    entered, found = _entered_message(tx, call, request.room, request.message, write=True)
    rules.may_edit(found.sender, call.agent, tombstone(found, call.now_ms))
    append(tx, call, entered.log, MessageEdited(message=request.message, text=request.text))
    return _result(tx, call, entered.log, found.seq)


@handles(REDACT)
def redact_message(tx: Tx, call: Call, request: RedactMessage) -> Done:
    entered, found = _entered_message(tx, call, request.room, request.message, write=True)
    rules.may_redact(found.sender, call.agent, entered.member.access)
    edits = edits_of(tx, entered.log, found.seq)
    append(tx, call, entered.log, MessageRedacted(message=request.message, reason=request.reason))
    blank(tx, entered.log, [found.seq, *edits], "redacted")
    return Done()


@handles(REACT)
def react(tx: Tx, call: Call, request: React) -> Done:
    entered, _found = _entered_message(tx, call, request.room, request.message, write=True)
    append(tx, call, entered.log, ReactionAdded(message=request.message, emoji=request.emoji))
    return Done()


@handles(UNREACT)
def unreact(tx: Tx, call: Call, request: Unreact) -> Done:
    entered, _found = _entered_message(tx, call, request.room, request.message, write=True)
    append(tx, call, entered.log, ReactionRemoved(message=request.message, emoji=request.emoji))
    return Done()


@handles(RECEIPTS)
def get_receipts(tx: Tx, call: Call, request: GetReceipts) -> Receipts:
    entered, found = _entered_message(tx, call, request.room, request.message)
    rows = tx.rows(
        "select agent, delivered_at, seen_at, answer_seq, expires_at, expired from delivery"
        " where log = :log and seq = :seq and addressed = 1 order by agent",
        log=entered.log,
        seq=found.seq,
    )
    receipts = tuple(
        rules.receipt(entered.log, agent_name(tx, row[0]), tuple(row[i] for i in range(1, 6)), call.now_ms)
        for row in rows
    )
    readers = tx.rows(
        "select agent from position where log = :log and acked_seq >= :seq and agent <> :sender"
        " and agent in (select agent from member where log = :log and joined_seq < :seq) order by agent",
        log=entered.log,
        seq=found.seq,
        sender=found.sender,
    )
    return Receipts(
        message=request.message,
        addressed=bool(receipts),
        receipts=receipts,
        read_by=tuple(agent_name(tx, row[0]) for row in readers),
    )


@handles(QUESTIONS)
def list_questions(tx: Tx, call: Call, request: ListQuestions) -> Messages:
    entered = enter(tx, call, request.room)
    since = entered.member.joined_seq if entered.room.settings.history == "since_join" else 0
    rows = tx.rows(
        SELECT + "where message.log = :log and message.kind = 'question' and message.seq > :since"
        " and (:open = 0 or not exists (select 1 from accepted a where a.log = message.log and a.seq = message.seq))"
        " order by message.seq desc limit :limit",
        log=entered.log,
        open=int(request.open),
        since=since,
        limit=request.limit + 1,
    )
    kept = [row for row in rows[: request.limit] if not tombstone(message_row(row), call.now_ms)][::-1]
    found = with_extras(tx, entered.log, [view(tx, row, call.now_ms) for row in kept])
    return Messages(items=tuple(found), cursor=load_stream(tx, entered.log).cursor, has_more=len(rows) > request.limit)


@handles(ACCEPT)
def accept_answer(tx: Tx, call: Call, request: AcceptAnswer) -> Done:
    entered, question = _entered_message(tx, call, request.room, request.question, write=True)
    rules.may_accept(question.kind, question.sender, call.agent)
    answer = load_message(tx, entered.log, message_seq(entered.log, request.answer), request.answer)
    if answer.reply_to != question.seq:
        raise Forbidden(f"{request.answer} does not answer {request.question}; pass a reply to it")
    accepted = AnswerAccepted(question=request.question, answer=request.answer, answerer=answer.sender)
    append(tx, call, entered.log, accepted)
    return Done()
