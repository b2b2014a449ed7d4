"""join and who: entering rooms, seeing who is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from hub.core.visible import visible
from hub.features.messages.contract import FindMessage, GetReceipts, ListMessages, ListQuestions
from hub.kernel.agents.contract import GetMe
from hub.kernel.messages.contract import Message
from hub.kernel.rooms.contract import (
    ROLES,
    CreateChannel,
    FollowChannel,
    GetRoom,
    JoinRoom,
    LeaveRoom,
    ListChannels,
    ListRooms,
    Member,
    Room,
    TemplateName,
    UpdateMember,
)
from mcp_bridge import briefing as short
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
    capabilities: list[str] | None = Field(None, description="what you can do")
    template: TemplateName | None = Field(None, description="for a new room")
    wake: Literal["all", "concerned", "none"] | None = Field(None, description="what may wake you")


@tool("Enter a room", {"room": "string", "you": "string", "members": "array", "last": "array"}, repeats=True)
async def join(desk: Desk, args: JoinArgs) -> Answer:
    """Enter a room (made if new) and get a briefing; it becomes your current room, which tools mean without `room`.
    Also leave, follow or mute a channel, set what wakes you."""
    if args.action == "leave":
        await desk.call(LeaveRoom(room=args.room))
        desk.reader.room = None if desk.reader.room == args.room else desk.reader.room
        return Answer({"room": args.room, "left": True}, f"left {args.room}")
    if args.action in ("follow", "mute"):
        return await _follow(desk, args)
    fields = args.model_dump(include={"room", "role", "invite", "capabilities", "template"})
    room = await desk.call(JoinRoom.model_validate({**fields, "create": True, "topic": args.topic or ""}))
    if args.wake:
        await desk.call(UpdateMember(room=args.room, agent=desk.name, wake=args.wake))
    desk.reader.room = room.room
    late = "the room existed before, so no template was used" if args.template and not room.created else None
    return await briefing(desk, room, note=late)


async def _follow(desk: Desk, args: JoinArgs) -> Answer:
    channel = args.channel or "general"
    names = [c.channel for c in (await desk.call(ListChannels(room=args.room))).items]
    if channel not in names:
        await desk.call(CreateChannel(room=args.room, channel=channel))
    await desk.call(FollowChannel(room=args.room, channel=channel, state="mute" if args.action == "mute" else "follow"))
    return Answer({"room": args.room, "channel": channel, "state": args.action}, f"{args.action} {channel}")


async def briefing(desk: Desk, room: Room, *, note: str | None = None) -> Answer:
    """What a newcomer needs, under 2,000 tokens however long the room's history is."""
    last = (await desk.call(ListMessages(room=room.room, limit=_LAST))).items
    questions = (await desk.call(ListQuestions(room=room.room, limit=5))).items
    shown = _fitting(last, room.room, short.LAST, _CUT)
    asked = _fitting(questions, room.room, short.QUESTIONS, _CUT // 2)
    desk.show([*shown, *asked])
    members = short.fit(map(member, sorted(room.members, key=_there_first)), short.MEMBERS)
    agreement = visible(room.settings.agreement)
    head: dict[str, Any] = {
        "room": room.room,
        "created": room.created or None,
        "note": note,
        "topic": short.cut(visible(room.settings.topic), _CUT),
        "agreement": short.cut(agreement, short.AGREEMENT),
        "you": desk.name,
        "role": room.role,
        "your_role": ROLES.get(room.role or ""),
    }
    lists: dict[str, Any] = {
        "members": members,
        "more_members": (len(room.members) - len(members)) or None,
        "channels": short.fit((c.channel for c in room.channels if c.channel != "general"), short.CHANNELS),
        "last": [_brief(m, room.room) for m in shown],
        "questions": [_brief(m, room.room) for m in asked],
    }
    parts = short.fit_parts([await briefer(desk, room) for briefer in BRIEFERS])
    return Answer(head | lists | parts, _text(desk, room, agreement, shown), peer_text=True)


def _fitting(messages: Sequence[Message], room: str, most: int, each: int) -> list[Message]:
    """The newest of these that fit, oldest first, long texts cut."""
    newest = [_short(message, each) for message in reversed(messages)]
    kept = len(short.fit((_brief(message, room) for message in newest), most))
    return newest[:kept][::-1]


def _short(message: Message, most: int) -> Message:
    whole = visible(message.text)
    text = short.cut(whole, most)
    if text == whole:
        return message
    return message.model_copy(update={"text": text, "truncated": True})


def _brief(message: Message, room: str) -> dict[str, Any]:
    """A message for the briefing: of long lists only the beginning."""
    made = brief(message, room=room)
    return {name: value[:2] if isinstance(value, list) else value for name, value in made.items()}


def _there_first(found: Member) -> tuple[int, bool]:
    return (("online", "away", "offline").index(found.presence), found.role is None)


def _text(desk: Desk, room: Room, agreement: str, shown: Sequence[Message]) -> str:
    """The briefing for clients that show text only."""
    names = [
        f"{m.agent} ({m.presence}{', ' + m.role if m.role else ''})" for m in sorted(room.members, key=_there_first)
    ]
    who = ", ".join(short.fit(names, short.TEXT // 5))
    how = f"\nHow we work here:\n{short.cut(agreement, short.TEXT // 3)}" if agreement else ""
    parts = [f"You are {desk.name} in {room.room}. {len(room.members)} members: {who}{how}"]
    left = short.TEXT - short.size(parts[0])
    return "\n".join([*parts, *reversed(short.fit([lines([m]) for m in reversed(shown)], left))])


def member(found: Member) -> dict[str, Any]:
    """A member for a model."""
    made: dict[str, Any] = {"name": found.agent, "presence": found.presence, "reach": found.reach}
    if found.role:
        made["role"] = found.role
    if found.capabilities:
        made["can"] = list(found.capabilities)[:8]
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
    """Your rooms; a room's members, how they are reached, its working agreement; or the receipts of a message."""
    if args.message:
        return await _receipts(desk, args)
    if args.room:
        return _whole(await desk.call(GetRoom(room=args.room)))
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


def _reached(found: Member) -> dict[str, Any]:
    """A member, with the way into its session."""
    return member(found) | ({"via": found.via} if found.via else {})


def _whole(room: Room) -> Answer:
    """Everybody in a room, and its whole working agreement."""
    agreement = visible(room.settings.agreement)
    able = {m.agent: " ".join(filter(None, (m.role, *m.capabilities))) for m in room.members}
    rows = [
        f"{m.agent} {m.kind} {m.presence} reach={m.reach}{m.via and f' by {m.via}'} {able[m.agent]}"
        for m in room.members
    ]
    data = {"room": room.room, "agreement": agreement, "members": [_reached(m) for m in room.members]}
    return Answer(data, "\n".join([*rows, agreement]), peer_text=bool(agreement))


async def _receipts(desk: Desk, args: WhoArgs) -> Answer:
    assert args.message is not None
    room = args.room or (await desk.call(FindMessage(message=args.message))).message.room
    found = await desk.call(GetReceipts(room=room, message=args.message))
    states = [{"agent": r.agent, "state": r.state} for r in found.receipts]
    text = (
        "\n".join(f"{r.agent}: {r.state}" for r in found.receipts) or f"read by: {', '.join(found.read_by) or 'nobody'}"
    )
    return Answer({"message": args.message, "receipts": states, "read_by": list(found.read_by)}, text)
