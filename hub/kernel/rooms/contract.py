"""Rooms, members, channels, invites: operations, results, events."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hub.core.access import Access
from hub.core.event import EventBody
from hub.core.model import Model
from hub.core.names import AgentName, ChannelName, Name, NewName, Role, RoomName
from hub.core.operation import AnyOperation, Done, Operation, Request, Result

OpenTo = Literal["invite", "owner", "all"]
History = Literal["all", "since_join"]
Wake = Literal["all", "concerned", "none"]
Follow = Literal["follow", "mute"]
Topic = Annotated[str, Field(max_length=1000)]
Weight = Annotated[int, Field(ge=0, le=1000)]
Agreement = Annotated[str, Field(max_length=8000, description="How we work here: pinned text, shown to newcomers.")]
Capabilities = Annotated[tuple[Name, ...], Field(max_length=20, description="What you can do: python, browser, gpu …")]
TemplateName = Literal["review", "research", "incident", "build"]

# Working labels everybody understands, with what one is for. A role gives no right; any other name works too.
ROLES: dict[str, str] = {
    "coordinator": "split the work into cards, see that nobody waits, call votes, say when it is done",
    "researcher": "find out what is not known; answer with sources and how sure you are",
    "coder": "take a card, reserve the files, change them, hand the card on to review",
    "reviewer": "read what others made; findings with place, fault and remedy; never your own work",
    "tester": "try to break it; report exact steps, what came out, what should have",
    "observer": "watch and answer questions; change nothing",
}


class Settings(Model):
    """What a room's owner may set."""

    topic: Topic = ""
    agreement: Agreement = ""
    open_to: OpenTo = "invite"
    history: History = "all"
    runs: bool = False
    messages_per_min: int = Field(
        default=120, ge=1, le=100_000, description="Loop guard: budget for agents with a model."
    )
    keep_days: int | None = Field(default=None, ge=1)
    keep_events: int | None = Field(default=None, ge=100)
    keep_bytes: int | None = Field(default=None, ge=65536)


class Member(Result):
    """An agent in a room."""

    agent: str
    kind: str
    access: Access
    role: str | None
    capabilities: tuple[str, ...] = ()
    weight: int
    presence: Literal["online", "away", "offline"] = "offline"
    reach: Literal["push", "stream", "poll", "none"] = "none"
    via: str = Field(default="", exclude_if=lambda v: not v, description="The best way into its session now.")
    joined_at: str


class Channel(Model):
    channel: str
    topic: str = ""
    following: Follow | None = None


class Room(Result):
    """A room's state and the cursor that stands exactly at it."""

    room: str
    direct: bool = False
    settings: Settings
    archived: bool = False
    created_at: str
    access: Access
    role: str | None = None
    wake: Wake = "concerned"
    members: tuple[Member, ...] = ()
    channels: tuple[Channel, ...] = ()
    head: int
    cursor: str
    created: bool = Field(default=False, exclude_if=lambda v: not v)


class RoomSummary(Model):
    room: str
    topic: str
    direct: bool
    archived: bool
    access: Access
    role: str | None
    members: int
    head: int
    unread: int = Field(description="Messages by others not yet acknowledged, exact to 100; 101 means more.")
    cursor: str


class RoomPage(Result):
    items: tuple[RoomSummary, ...]
    cursor: str = ""
    has_more: bool = False


class CreateRoom(Request[Room]):
    """Create a room; you own it."""

    room: NewName
    topic: Topic = ""
    open_to: OpenTo = "invite"
    history: History = "all"
    role: Role | None = None
    template: TemplateName | None = Field(default=None, description="Channels, board and agreement to start with.")


class TemplateInfo(Model):
    template: TemplateName
    title: str
    roles: tuple[str, ...] = Field(description="Who is usually needed.")
    channels: tuple[str, ...]
    columns: tuple[str, ...]
    cards: tuple[str, ...]
    agreement: str


class TemplatePage(Result):
    items: tuple[TemplateInfo, ...]
    cursor: str = ""
    has_more: bool = False


class ListTemplates(Request[TemplatePage]):
    """Templates for rooms, with what each brings."""


class ListRooms(Request[RoomPage]):
    """Rooms you are in; `dm=true` lists direct conversations instead."""

    dm: bool = False
    archived: bool = False


class GetRoom(Request[Room]):
    """A room's state with its cursor, read in one snapshot."""

    room: RoomName


class UpdateRoom(Request[Room]):
    """Change a room's settings; owners only."""

    room: RoomName
    topic: Topic | None = None
    agreement: Agreement | None = Field(default=None, description="Pinned text; members get a notice when it changes.")
    open_to: OpenTo | None = None
    history: History | None = None
    runs: bool | None = Field(default=None, description="Sandbox runs; switching on needs a person's room:admin.")
    messages_per_min: int | None = Field(default=None, ge=1, le=100_000)
    keep_days: int | None = Field(default=None, ge=1)
    keep_events: int | None = Field(default=None, ge=100)
    keep_bytes: int | None = Field(default=None, ge=65536)


class ArchiveRoom(Request[Done]):
    """Archive a room: readable, but nothing new; owners only."""

    room: RoomName


class JoinRoom(Request[Room]):
    """Enter a room. With `create`, make it when no such room exists."""

    room: RoomName
    role: Role | None = None
    invite: str | None = Field(default=None, max_length=100)
    create: bool = False
    topic: Topic = ""
    capabilities: Capabilities | None = None
    template: TemplateName | None = Field(default=None, description="For a room that this makes.")


class LeaveRoom(Request[Done]):
    """Leave a room."""

    room: RoomName


class MemberPage(Result):
    items: tuple[Member, ...]
    cursor: str = ""
    has_more: bool = False


class ListMembers(Request[MemberPage]):
    """Members of a room with presence and reach."""

    room: RoomName


class UpdateMember(Request[Member]):
    """Change a member: owners set access and weight; everyone sets their own role and wake rule."""

    room: RoomName
    agent: AgentName
    access: Access | None = None
    weight: Weight | None = None
    role: Role | None = None
    capabilities: Capabilities | None = None
    wake: Wake | None = None
    removed: bool = Field(default=False, description="Take the member out of the room; owners only.")


class Invite(Result):
    shown_once: ClassVar[str] = "code"
    room: str
    code: str | None = Field(description="Shown this once; null when the call is a repeat.")
    agent: str | None
    access: Access
    expires_at: str


class CreateInvite(Request[Invite]):
    """Invite an agent by name, or anybody who has the code."""

    room: RoomName
    agent: AgentName | None = None
    access: Access = "member"
    expires_in_s: int = Field(default=7 * 86400, ge=60, le=90 * 86400)


class ChannelPage(Result):
    items: tuple[Channel, ...]
    cursor: str = ""
    has_more: bool = False


class CreateChannel(Request[ChannelPage]):
    """Add a channel: a label for a side discussion in the room's log."""

    room: RoomName
    channel: NewName
    topic: Topic = ""


class ListChannels(Request[ChannelPage]):
    """Channels of a room."""

    room: RoomName


class FollowChannel(Request[Done]):
    """Follow a channel (the default) or mute it; a muted one still brings what concerns you."""

    room: RoomName
    channel: ChannelName
    state: Follow = "follow"


_R = "/v1/rooms/{room}"
CREATE = Operation("rooms.create", "POST /v1/rooms", "room:send", CreateRoom, Room, 201, "hub")
TEMPLATE_LIST = Operation("templates.list", "GET /v1/templates", "room:read", ListTemplates, TemplatePage)
LIST = Operation("rooms.list", "GET /v1/rooms", "room:read", ListRooms, RoomPage)
GET = Operation("rooms.get", f"GET {_R}", "room:read", GetRoom, Room)
UPDATE = Operation("rooms.update", f"PATCH {_R}", "room:send", UpdateRoom, Room, lock="hub")
ARCHIVE = Operation("rooms.archive", f"DELETE {_R}", "room:send", ArchiveRoom, Done)
JOIN = Operation("rooms.join", f"POST {_R}/join", "room:read", JoinRoom, Room, 200, "hub")
LEAVE = Operation("rooms.leave", f"POST {_R}/leave", "room:read", LeaveRoom, Done)
MEMBERS = Operation("members.list", f"GET {_R}/members", "room:read", ListMembers, MemberPage)
MEMBER = Operation("members.update", f"PATCH {_R}/members/{{agent}}", "room:read", UpdateMember, Member)
INVITE = Operation("invites.create", f"POST {_R}/invites", "room:send", CreateInvite, Invite, 201)
CHANNEL = Operation("channels.create", f"POST {_R}/channels", "room:send", CreateChannel, ChannelPage, 201)
CHANNELS = Operation("channels.list", f"GET {_R}/channels", "room:read", ListChannels, ChannelPage)
FOLLOW = Operation("channels.follow", f"PUT {_R}/channels/{{channel}}/follow", "room:read", FollowChannel, Done)

OPERATIONS: list[AnyOperation] = [
    CREATE,
    TEMPLATE_LIST,
    LIST,
    GET,
    UPDATE,
    ARCHIVE,
    JOIN,
    LEAVE,
    MEMBERS,
    MEMBER,
    INVITE,
    CHANNEL,
    CHANNELS,
    FOLLOW,
]


class RoomCreated(EventBody):
    type: ClassVar[str] = "room.created"
    settings: Settings
    owner: int = Field(description="Agent id of the person who co-owns the room.")


class RoomChanged(EventBody):
    """`tell` are the members, when the working agreement changed."""

    type: ClassVar[str] = "room.changed"
    settings: Settings
    tell: tuple[int, ...] = ()

    def concerns(self) -> tuple[int, ...]:
        return self.tell

    def notice(self) -> str:
        return "The working agreement of this room has changed; read it with who(room=…)."


class RunsSwitched(EventBody):
    """In the hub's own log, for the audit: whether a room lets its members run code."""

    type: ClassVar[str] = "runs.switched"
    room: str
    on: bool


class RoomArchived(EventBody):
    type: ClassVar[str] = "room.archived"


class MemberJoined(EventBody):
    type: ClassVar[str] = "member.joined"
    agent: int
    name: str
    access: Access
    role: str | None = None
    weight: int = 1
    capabilities: tuple[str, ...] = ()


class MemberChanged(EventBody):
    type: ClassVar[str] = "member.changed"
    agent: int
    name: str
    access: Access
    role: str | None = None
    weight: int = 1
    capabilities: tuple[str, ...] = ()


class MemberLeft(EventBody):
    type: ClassVar[str] = "member.left"
    agent: int
    name: str


class ChannelCreated(EventBody):
    type: ClassVar[str] = "channel.created"
    channel: str
    topic: str = ""


class InviteCreated(EventBody):
    """Only the hash of the code is kept."""

    type: ClassVar[str] = "invite.created"
    hash: str
    agent: int | None = None
    access: Access
    expires_at_ms: int

    def concerns(self) -> tuple[int, ...]:
        return () if self.agent is None else (self.agent,)

    def notice(self) -> str:
        return "You are invited to this room; enter it with join."


class RoomPaused(EventBody):
    """The loop guard stopped agents for a while."""

    type: ClassVar[str] = "room.paused"
    until_ms: int
    reason: str
    owners: tuple[int, ...] = ()

    def concerns(self) -> tuple[int, ...]:
        return self.owners

    def notice(self) -> str:
        return self.reason
