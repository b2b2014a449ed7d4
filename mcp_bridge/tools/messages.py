"""send, poll, ask, history: talking."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from hub.core.errors import Invalid
from hub.features.jobs.contract import GetJob
from hub.features.messages.contract import (
    FindMessage,
    GetAnswers,
    GetMessage,
    ListMessages,
    PostDirect,
    Posted,
    PostMessage,
)
from hub.features.search.contract import Search
from hub.kernel.inbox.contract import Inbox, PollInbox
from hub.kernel.messages.contract import Message
from mcp_bridge.desk import PAGE_BYTES, Desk, brief, lines
from mcp_bridge.toolbox import Answer, Args, RoomArg, tool

_ARRIVING_S: Final = 0.5
_SEGMENT_S: Final = 14.0  # progress is due every 15 s


class SendArgs(Args):
    text: str
    room: RoomArg = None
    to: list[str] | str | None = Field(None, description="agents, @role or @kind; without room: a direct message")
    channel: str | None = None
    reply_to: str | None = Field(None, description="message id")
    intent: Literal["request", "inform", "ack"] = Field("inform", description="request wakes; ack confirms reply_to")
    priority: Literal["critical", "high", "normal", "low", "bulk"] = "normal"
    needs_ack: bool = False
    files: list[str] | None = None
    key: str | None = Field(None, description="same key: sent once")


@tool("Send a message", {"id": "string", "room": "string", "visible_to": "string"}, always_load=True)
async def send(desk: Desk, args: SendArgs) -> Answer:
    """Send to a room, agents or a thread. Answers to questions: set reply_to. Everyone in the room can read it,
    whoever is in `to`; leave room out with one `to` for a private direct message."""
    if args.key:
        desk.key = args.key
    posted = await _post(desk, args)
    data: dict[str, Any] = {
        "id": posted.id,
        "room": posted.room,
        "visible_to": posted.visible_to,
        "to": list(posted.to),
    }
    if posted.deduplicated:
        data["deduplicated"] = True
    return Answer(data, f"sent {posted.id} to {posted.visible_to}")


def _names(to: list[str] | str | None) -> list[str]:
    return [to] if isinstance(to, str) else list(to or [])


async def _post(desk: Desk, args: SendArgs) -> Posted:
    to = _names(args.to)
    fields: dict[str, Any] = {
        "text": args.text,
        "reply_to": args.reply_to,
        "intent": args.intent,
        "priority": args.priority,
        "needs_ack": args.needs_ack,
        "attachments": args.files or [],
        "kind": "chat",
    }
    room = args.room
    if args.reply_to:
        parent = (await desk.call(FindMessage(message=args.reply_to))).message
        room = room or parent.room
        fields["kind"] = "answer" if parent.kind == "question" and args.intent != "ack" else "chat"
    if room is None and len(to) == 1 and not to[0].startswith("@"):
        return await desk.call(PostDirect.model_validate({"agent": to[0], **fields}))
    room = await desk.room(room)
    return await desk.call(
        PostMessage.model_validate({"room": room, "to": to, "channel": args.channel or "general", **fields})
    )


class PollArgs(Args):
    wait_s: float = Field(0, ge=0, le=600, description="wait up to this long for something")
    room: Annotated[str | None, Field(description="only this room")] = None
    limit: int = Field(50, ge=1, le=200)
    ack: str | None = Field(None, description="cursor of a result you have")


@tool(
    "What is new",
    {"messages": "array", "cursor": "string", "has_more": "boolean"},
    always_load=True,
    repeats=True,
    waits=True,
)
async def poll(desk: Desk, args: PollArgs) -> Answer:
    """New messages for you: rooms, direct messages, notices. Each is shown once. wait_s waits for one."""
    page, fresh = await _poll(desk, args)
    cursor = None if _coming(desk, page) else page.cursor  # what is not there yet must not count as read
    desk.show(fresh, cursor)
    desk.hidden_unread = sum(1 for m in page.messages if m.kind != "notice")
    data = {"messages": [brief(m) for m in fresh], "cursor": cursor, "has_more": page.has_more or None}
    data["gaps"] = [gap.model_dump() for gap in page.gaps]
    return Answer(data, lines(fresh) or "nothing new", peer_text=bool(fresh))


async def _poll(desk: Desk, args: PollArgs) -> tuple[Inbox, list[Message]]:
    """Read until something fresh is there or time is up, reporting progress."""
    started = time.monotonic()
    until, ack = started + min(args.wait_s, desk.longest_wait_s), args.ack
    while True:
        left = max(0.0, until - time.monotonic())
        page = await desk.call(
            PollInbox(
                ack=ack,
                room=args.room,
                limit=args.limit,
                wait_s=min(left, _SEGMENT_S),
                wake=desk.wake,
                max_bytes=PAGE_BYTES,
            )
        )
        fresh = desk.fresh(page.messages)
        if fresh or page.gaps or time.monotonic() >= until:
            return page, fresh
        if _coming(desk, page):
            if not desk.background:
                return page, fresh
            await asyncio.sleep(_ARRIVING_S)  # the client's next question says whether it has arrived
            continue
        ack = page.cursor if page.messages else None  # all of it was shown before, so it counts as read
        await desk.progress(time.monotonic() - started, "waiting for messages")


def _coming(desk: Desk, page: Inbox) -> bool:
    """Whether some of this page is on its way into the session by a push."""
    return any(message.id in desk.coming for message in page.messages)


class AskArgs(Args):
    text: str
    to: str = Field(description="agent, @role, @kind, or a room name to ask everyone")
    room: RoomArg = None
    wait_s: float = Field(50, ge=0, le=600)


@tool("Ask and wait", {"question": "string", "answers": "array"}, waits=True)
async def ask(desk: Desk, args: AskArgs) -> Answer:
    """Ask an agent, @role, @kind or a whole room and wait for the answer. If none comes in time you get the question's
    id, and poll brings the answer later."""
    posted = await _ask(desk, args)
    answers = await _answers(desk, posted, args.wait_s)
    desk.show(answers)
    desk.hidden_unread = len(answers)
    data: dict[str, Any] = {"question": posted.id, "room": posted.room, "answered": bool(answers)}
    if not answers:
        pending = await _pending(desk, posted)
        text = f"no answer yet to {posted.id}{f' ({pending})' if pending else ''}; poll will bring it"
        return Answer(data | {"next": "poll will bring the answer", "pending": pending or None}, text)
    return Answer(data | {"answers": [brief(m, room=posted.room) for m in answers]}, lines(answers), peer_text=True)


async def _pending(desk: Desk, question: Posted) -> str:
    """What the one asked is waiting for: `browser-1: waiting for a person`; empty when nobody says."""
    if len(question.to) != 1:
        return ""
    job = await desk.call(GetJob(room=question.room, job=question.id, agent=question.to[0]))
    return f"{question.to[0]}: {job.pending}" if job.pending else ""


async def _ask(desk: Desk, args: AskArgs) -> Posted:
    fields = {"text": args.text, "kind": "question", "intent": "request"}
    if args.room is None and not args.to.startswith("@"):
        rooms = await desk.rooms()
        if args.to in rooms:
            return await desk.call(PostMessage.model_validate({"room": args.to, **fields}))
        if desk.reader.room is None and len(rooms) != 1:
            return await desk.call(PostDirect.model_validate({"agent": args.to, **fields}))
    room = await desk.room(args.room)
    to = [] if args.to == room else [args.to]
    return await desk.call(PostMessage.model_validate({"room": room, "to": to, **fields}))


async def _answers(desk: Desk, question: Posted, wait_s: float) -> list[Message]:
    started = time.monotonic()
    until = started + min(wait_s, desk.longest_wait_s)
    while True:
        left = max(0.0, until - time.monotonic())
        found = await desk.call(GetAnswers(room=question.room, question=question.id, wait_s=min(left, _SEGMENT_S)))
        if found.items or time.monotonic() >= until:
            return list(found.items)
        pending = await _pending(desk, question)
        await desk.progress(time.monotonic() - started, pending or f"waiting for an answer to {question.id}")


class HistoryArgs(Args):
    room: RoomArg = None
    query: str | None = Field(None, description='words, "phrase", -without')
    thread: str | None = Field(None, description="message id")
    message: str | None = Field(None, description="read one long message")
    offset: int = Field(0, ge=0, description="byte offset into message")
    before: str | None = Field(None, description="message id")
    limit: int = Field(20, ge=1, le=100)


@tool("Older messages", {"messages": "array"}, reads=True)
async def history(desk: Desk, args: HistoryArgs) -> Answer:
    """Older messages of a room, one thread, a full-text search, or one long message."""
    if args.message:
        return await _one(desk, args)
    if args.query:
        found = await desk.call(Search(q=args.query, room=args.room, limit=args.limit))
        return _page(desk, list(found.items), has_more=found.has_more)
    room = await desk.room(args.room)
    page = await desk.call(ListMessages(room=room, thread=args.thread, before=args.before, limit=args.limit))
    return _page(desk, list(page.items), has_more=page.has_more, room=room)


def _page(desk: Desk, messages: list[Message], *, has_more: bool, room: str | None = None) -> Answer:
    """Newest that fit 24 KiB, in order."""
    kept: list[Message] = []
    used = 0
    for message in reversed(messages):
        short = message
        if len(message.text) > PAGE_BYTES // 4:
            short = message.model_copy(update={"text": message.text[: PAGE_BYTES // 8], "truncated": True})
        used += len(short.text.encode()) + 200
        if kept and used > PAGE_BYTES:
            has_more = True
            break
        kept.insert(0, short)
    desk.show(kept)
    data = {"messages": [brief(m, room=room) for m in kept], "has_more": has_more or None, "room": room}
    return Answer(data, lines(kept) or "nothing found", peer_text=bool(kept))


async def _one(desk: Desk, args: HistoryArgs) -> Answer:
    if args.message is None:
        raise Invalid("name the message")
    room = args.room or (await desk.call(FindMessage(message=args.message))).message.room
    part = await desk.call(GetMessage(room=room, message=args.message, offset=args.offset, max_bytes=PAGE_BYTES // 2))
    data = {"messages": [brief(part.message)], "size_bytes": part.size_bytes, "next_offset": part.next_offset}
    return Answer(data, lines([part.message]), peer_text=True)
