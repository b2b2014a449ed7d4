"""join and who: entering rooms, seeing who is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from hub.core.visible import visible
from hub.features.messages.contract import FindMessage, GetReceipts, ListMessages, ListQuestions
from hub.kernel.agents.contract import GetMe
from hub.kernel.rooms.contract import (
    CreateChannel,
    FollowChannel,
    JoinRoom,
    LeaveRoom,
    ListChannels,
    ListMembers,
    ListRooms,
    Member,
    Room,
    UpdateMember,
)
from mcp_bridge.desk import Desk, brief, lines
from mcp_bridge.toolbox import Answer, Args, tool

Briefer = Callable[[Desk, Room], Awaitable[dict[str, Any]]]
BRIEFERS: Final[list[Briefer]] = []  # other features add their part of the briefing here
_LAST: Final = 8
_CUT: Final = 300


class JoinArgs(Args):
    room: str
    role: str | None = Field(None, description="coordinator, researcher, coder, reviewer, tester, observer, or own")
    topic: str | None = Field(None, description="for a new room")
    action: Literal["enter", "leave", "follow", "mute", "wake"] = "enter"
    channel: str | None = Field(None, description="for follow and mute; made when missing")
    invite: str | None = None
    wake: Literal["all", "concerned", "none"] | None = Field(None, description="what may wake you")


@tool("Enter a room", {"room": "string", "you": "string", "members": "array", "last": "array"}, repeats=True)
async def join(desk: Desk, args: JoinArgs) -> Answer:
    """Enter a room (made if new) and get a briefing; it becomes your current room. Also leave, follow or mute a
    channel, set what wakes you."""
    if args.action == "leave":
        await desk.call(LeaveRoom(room=args.room))
        desk.reader.room = None if desk.reader.room == args.room else desk.reader.room
        return Answer({"room": args.room, "left": True}, f"left {args.room}")
    if args.action in ("follow", "mute"):
        return await _follow(desk, args)
    room = await desk.call(
        JoinRoom(room=args.room, role=args.role, invite=args.invite, create=True, topic=args.topic or "")
    )
    if args.wake:
        await desk.call(UpdateMember(room=args.room, agent=desk.name, wake=args.wake))
    desk.reader.room = room.room
    return await briefing(desk, room)


async def _follow(desk: Desk, args: JoinArgs) -> Answer:
    channel = args.channel or "general"
    names = [c.channel for c in (await desk.call(ListChannels(room=args.room))).items]
    if channel not in names:
        await desk.call(CreateChannel(room=args.room, channel=channel))
    await desk.call(FollowChannel(room=args.room, channel=channel, state="mute" if args.action == "mute" else "follow"))
    return Answer({"room": args.room, "channel": channel, "state": args.action}, f"{args.action} {channel}")


async def briefing(desk: Desk, room: Room) -> Answer:
    """What a newcomer needs, under 2,000 tokens however long the room's history is."""
    last = (await desk.call(ListMessages(room=room.room, limit=_LAST))).items
    questions = (await desk.call(ListQuestions(room=room.room, limit=5))).items
    shown, asked = [_short(m) for m in last], [_short(m) for m in questions]
    desk.show([*shown, *asked])
    data: dict[str, Any] = {
        "room": room.room,
        "created": room.created or None,
        "topic": visible(room.settings.topic[:_CUT]),
        "you": desk.name,
        "role": room.role,
        "members": [member(m) for m in room.members[:30]],
        "more_members": max(0, len(room.members) - 30) or None,
        "channels": [c.channel for c in room.channels if c.channel != "general"][:20],
        "last": [brief(m, room=room.room) for m in shown],
        "questions": [brief(m, room=room.room) for m in asked],
    }
    for briefer in BRIEFERS:
        data |= await briefer(desk, room)
    who = ", ".join(f"{m.agent} ({m.presence}{', ' + m.role if m.role else ''})" for m in room.members[:30])
    return Answer(data, f"You are {desk.name} in {room.room}. Members: {who}\n{lines(shown)}", peer_text=True)


def _short(message: Any) -> Any:
    if len(message.text) <= _CUT:
        return message
    return message.model_copy(update={"text": message.text[:_CUT], "truncated": True})


def member(found: Member) -> dict[str, Any]:
    """A member for a model."""
    made: dict[str, Any] = {"name": found.agent, "presence": found.presence, "reach": found.reach}
    if found.role:
        made["role"] = found.role
    if found.kind != "code":
        made["kind"] = found.kind
    if found.access != "member":
        made["access"] = found.access
    return made


class WhoArgs(Args):
    room: Annotated[str | None, Field(description="its members; without: your rooms")] = None
    message: str | None = Field(None, description="who got this message")


@tool("Who is there", {"you": "string", "rooms": "array", "members": "array", "receipts": "array"}, reads=True)
async def who(desk: Desk, args: WhoArgs) -> Answer:
    """Your rooms; a room's members with presence and how they are reached; or the receipts of a message."""
    if args.message:
        return await _receipts(desk, args)
    if args.room:
        members = (await desk.call(ListMembers(room=args.room))).items
        text = "\n".join(f"{m.agent} {m.kind} {m.presence} reach={m.reach} {m.role or ''}" for m in members)
        return Answer({"room": args.room, "members": [member(m) for m in members]}, text)
    me, rooms = await desk.call(GetMe()), (await desk.call(ListRooms())).items
    data = {
        "you": me.name,
        "owner": me.owner,
        "current": desk.reader.room,
        "rooms": [
            {"room": r.room, "topic": visible(r.topic[:80]), "members": r.members, "unread": r.unread} for r in rooms
        ],
    }
    text = "\n".join(f"{r.room}: {r.members} members, {r.unread} unread. {visible(r.topic[:80])}" for r in rooms)
    return Answer(
        data, f"You are {me.name}.\n{text or 'You are in no room yet; join one.'}", any(r.topic for r in rooms)
    )


async def _receipts(desk: Desk, args: WhoArgs) -> Answer:
    assert args.message is not None
    room = args.room or (await desk.call(FindMessage(message=args.message))).message.room
    found = await desk.call(GetReceipts(room=room, message=args.message))
    states = [{"agent": r.agent, "state": r.state} for r in found.receipts]
    text = (
        "\n".join(f"{r.agent}: {r.state}" for r in found.receipts) or f"read by: {', '.join(found.read_by) or 'nobody'}"
    )
    return Answer({"message": args.message, "receipts": states, "read_by": list(found.read_by)}, text)
