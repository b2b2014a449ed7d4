"""Creating, joining, changing and leaving rooms."""

from __future__ import annotations

import base64
import hashlib

from hub.core.access import Access, lower
from hub.core.call import Call
from hub.core.errors import AgentNotFound, Conflict, Forbidden, NameTaken, RoomNotFound
from hub.core.names import GENERAL, is_direct, is_name
from hub.core.operation import Done
from hub.core.slug import RESERVED
from hub.core.times import rfc3339
from hub.kernel.agents.project import find_agent, load_agent, need_agent
from hub.kernel.inbox.positions import start_at, unread_count
from hub.kernel.rooms.contract import (
    ARCHIVE,
    CHANNEL,
    CHANNELS,
    CREATE,
    FOLLOW,
    GET,
    INVITE,
    JOIN,
    LEAVE,
    LIST,
    MEMBER,
    MEMBERS,
    TEMPLATE_LIST,
    UPDATE,
    ArchiveRoom,
    Channel,
    ChannelCreated,
    ChannelPage,
    CreateChannel,
    CreateInvite,
    CreateRoom,
    FollowChannel,
    GetRoom,
    Invite,
    InviteCreated,
    JoinRoom,
    LeaveRoom,
    ListChannels,
    ListMembers,
    ListRooms,
    ListTemplates,
    Member,
    MemberChanged,
    MemberJoined,
    MemberLeft,
    MemberPage,
    Room,
    RoomArchived,
    RoomChanged,
    RoomCreated,
    RoomPage,
    RoomSummary,
    RunsSwitched,
    Settings,
    TemplateInfo,
    TemplatePage,
    UpdateMember,
    UpdateRoom,
    Wake,
)
from hub.kernel.rooms.project import (
    MemberState,
    enter,
    enter_to_write,
    load_former,
    load_member,
    load_members,
    load_room,
    need_channel,
    refuse_direct,
    rooms_of,
    stream_id,
)
from hub.kernel.rooms.templates import FURNISHERS, TEMPLATES, Template
from hub.log.handler import handles
from hub.log.log import HUB, agent_name, append, create_stream, load_stream
from hub.storage.interface import Tx


@handles(CREATE)
def create_room(tx: Tx, call: Call, request: CreateRoom) -> Room:
    if stream_id(tx, request.room) is not None:
        raise NameTaken(f"a room named {request.room!r} exists; choose another name, or join it if you are invited")
    settings = Settings(topic=request.topic, open_to=request.open_to, history=request.history)
    return make_room(tx, call, request.room, settings, request)


def make_room(tx: Tx, call: Call, name: str, settings: Settings, request: CreateRoom | JoinRoom) -> Room:
    """A new room owned by the caller and co-owned by the caller's person, furnished if a template is named."""
    template = None if request.template is None else TEMPLATES[request.template]
    if template is not None:
        topic = settings.topic or template.title
        settings = settings.model_copy(update={"agreement": template.agreement, "topic": topic})
    able = request.capabilities or () if isinstance(request, JoinRoom) else ()
    log = create_stream(tx, call, "room", name).log
    person = call.principal.owner
    append(tx, call, log, RoomCreated(settings=settings, owner=person))
    add_member(tx, call, log, call.agent, "owner", request.role, capabilities=able)
    if person != call.agent:
        add_member(tx, call, log, person, "owner", None)
    if template is not None:
        append(tx, call, log, *(ChannelCreated(channel=channel, topic=topic) for channel, topic in template.channels))
        for furnish in FURNISHERS:
            furnish(tx, call, log, template)
    return snapshot(tx, call, log).model_copy(update={"created": True})


@handles(TEMPLATE_LIST)
def list_templates(tx: Tx, call: Call, request: ListTemplates) -> TemplatePage:
    return TemplatePage(items=tuple(_info(template) for template in TEMPLATES.values()))


def _info(template: Template) -> TemplateInfo:
    return TemplateInfo(
        template=template.name,
        title=template.title,
        roles=template.roles,
        channels=tuple(channel for channel, _ in template.channels),
        columns=tuple(column.name for column in template.columns),
        cards=tuple(card.title for card in template.cards),
        agreement=template.agreement,
    )


def add_member(
    tx: Tx,
    call: Call,
    log: int,
    agent: int,
    access: Access,
    role: str | None,
    *,
    weight: int = 1,
    capabilities: tuple[str, ...] = (),
) -> None:
    """Append the membership and start the agent's position at the head."""
    name = agent_name(tx, agent)
    joined = MemberJoined(agent=agent, name=name, access=access, role=role, weight=weight, capabilities=capabilities)
    placed = append(tx, call, log, joined)
    start_at(tx, agent, log, placed.seq)
    tx.wake(-agent)


@handles(LIST)
def list_rooms(tx: Tx, call: Call, request: ListRooms) -> RoomPage:
    items = [_summary(tx, call, log) for log in rooms_of(tx, call.agent)]
    wanted = [item for item in items if item.direct == request.dm and (request.archived or not item.archived)]
    return RoomPage(items=tuple(sorted(wanted, key=lambda item: item.room)))


def _summary(tx: Tx, call: Call, log: int) -> RoomSummary:
    stream, room, me = load_stream(tx, log), load_room(tx, log), load_member(tx, log, call.agent)
    assert me is not None
    count = tx.row("select count(*) from member where log = :log", log=log)
    assert count is not None
    return RoomSummary(
        room=stream.name,
        topic=room.settings.topic,
        direct=is_direct(stream.name),
        archived=room.archived_at is not None,
        access=me.access,
        role=me.role,
        members=count[0],
        head=stream.head,
        unread=unread_count(tx, call.agent, log),
        cursor=stream.cursor,
    )


@handles(GET)
def get_room(tx: Tx, call: Call, request: GetRoom) -> Room:
    return snapshot(tx, call, enter(tx, call, request.room).log)


def snapshot(tx: Tx, call: Call, log: int) -> Room:
    """State and cursor of one moment."""
    stream, room, me = load_stream(tx, log), load_room(tx, log), load_member(tx, log, call.agent)
    assert me is not None
    return Room(
        room=stream.name,
        direct=is_direct(stream.name),
        settings=room.settings,
        archived=room.archived_at is not None,
        created_at=rfc3339(room.created_at),
        access=me.access,
        role=me.role,
        wake=wake_of(tx, log, call.agent),
        members=tuple(view(tx, call, m) for m in load_members(tx, log)),
        channels=_channels(tx, call, log),
        head=stream.head,
        cursor=stream.cursor,
    )


@handles(UPDATE)
def update_room(tx: Tx, call: Call, request: UpdateRoom) -> Room:
    refuse_direct(request.room, "changing settings")
    entered = enter_to_write(tx, call, request.room, "owner")
    fields = request.model_dump(exclude={"room"}, exclude_unset=True, exclude_none=True)
    if fields.get("runs") and not (call.principal.kind == "human" and "room:admin" in call.principal.scopes):
        raise Forbidden("switching on runs needs a person with the scope 'room:admin'; ask the room's person")
    settings = entered.room.settings.model_copy(update=fields)
    if settings != entered.room.settings:
        told = settings.agreement != entered.room.settings.agreement
        members = tuple(m.agent for m in load_members(tx, entered.log)) if told else ()
        append(tx, call, entered.log, RoomChanged(settings=settings, tell=members))
    if settings.runs != entered.room.settings.runs:
        append(tx, call, HUB, RunsSwitched(room=request.room, on=settings.runs))
    return snapshot(tx, call, entered.log)


@handles(ARCHIVE)
def archive_room(tx: Tx, call: Call, request: ArchiveRoom) -> Done:
    refuse_direct(request.room, "archiving")
    append(tx, call, enter_to_write(tx, call, request.room, "owner").log, RoomArchived())
    return Done()


@handles(JOIN)
def join_room(tx: Tx, call: Call, request: JoinRoom) -> Room:
    refuse_direct(request.room, "joining")
    log = stream_id(tx, request.room)
    if log is None:
        return _create_by_joining(tx, call, request)
    member = load_member(tx, log, call.agent)
    if member is None:
        _enter_again(tx, call, log, request)
    else:
        _append_changed(tx, call, log, member, _changed(tx, member, role=request.role, able=request.capabilities))
    return snapshot(tx, call, log)


def _enter_again(tx: Tx, call: Call, log: int, request: JoinRoom) -> None:
    """Enter, perhaps not for the first time: leaving and coming back changes neither access nor weight that were given."""
    access, former = _door(tx, call, log, request), load_former(tx, log, call.agent)
    if former is None:
        add_member(tx, call, log, call.agent, access, request.role, capabilities=request.capabilities or ())
        return
    if _invited(tx, call, log, request.invite, after=former.left_seq) is None:
        access = lower(access, former.access)
    able = request.capabilities or ()
    add_member(tx, call, log, call.agent, access, request.role, weight=former.weight, capabilities=able)


def _create_by_joining(tx: Tx, call: Call, request: JoinRoom) -> Room:
    if not request.create:
        raise RoomNotFound(f"room {request.room!r} not found; create it, or ask for an invite")
    call.principal.need("room:send")
    if not is_name(request.room) or request.room in RESERVED:
        raise RoomNotFound(f"{request.room!r} is not a name a new room can have")
    return make_room(tx, call, request.room, Settings(topic=request.topic, open_to="owner"), request)


def _door(tx: Tx, call: Call, log: int, request: JoinRoom) -> Access:
    """The access this caller gets on entering; RoomNotFound when the room is not open to them."""
    room = load_room(tx, log)
    if room.settings.open_to == "all":
        return "member"
    if room.owner == call.principal.owner and room.settings.open_to == "owner":
        return "owner" if call.agent == room.owner else "member"
    if invited := _invited(tx, call, log, request.invite):
        return invited
    raise RoomNotFound(f"room {request.room!r} not found; create it, or ask for an invite")


def _invited(tx: Tx, call: Call, log: int, code: str | None, *, after: int = 0) -> Access | None:
    """The access of the caller's newest invite that is younger than event `after`."""
    row = tx.row(
        "select access from invite where log = :log and seq > :after and expires_at > :now"
        " and (agent = :agent or hash = :hash) order by seq desc limit 1",
        after=after,
        log=log,
        now=call.now_ms,
        agent=call.agent,
        hash=_hash(code or ""),
    )
    return None if row is None else row[0]


@handles(LEAVE)
def leave_room(tx: Tx, call: Call, request: LeaveRoom) -> Done:
    refuse_direct(request.room, "leaving")
    entered = enter(tx, call, request.room)
    _keep_an_owner(tx, entered.log, entered.member)
    append(tx, call, entered.log, MemberLeft(agent=call.agent, name=call.principal.name))
    return Done()


def _keep_an_owner(tx: Tx, log: int, leaving: MemberState) -> None:
    others = [m for m in load_members(tx, log) if m.agent != leaving.agent]
    if leaving.access == "owner" and others and not any(m.access == "owner" for m in others):
        raise Conflict("you are the last owner; make another member owner first, or archive the room")


@handles(MEMBERS)
def list_members(tx: Tx, call: Call, request: ListMembers) -> MemberPage:
    entered = enter(tx, call, request.room)
    return MemberPage(items=tuple(view(tx, call, m) for m in load_members(tx, entered.log)))


@handles(MEMBER)
def update_member(tx: Tx, call: Call, request: UpdateMember) -> Member:
    refuse_direct(request.room, "changing members")
    entered = enter_to_write(tx, call, request.room, "reader")
    agent = find_agent(tx, request.agent)
    member = None if agent is None else load_member(tx, entered.log, agent)
    if member is None:
        raise AgentNotFound(f"{request.agent!r} is not a member of {request.room!r}; list them with members.list")
    _may_change(call, entered.member, member, request)
    if request.removed:
        _keep_an_owner(tx, entered.log, member)
        append(tx, call, entered.log, MemberLeft(agent=member.agent, name=request.agent))
        return view(tx, call, member)
    return _apply(tx, call, entered.log, member, request)


def _apply(tx: Tx, call: Call, log: int, member: MemberState, request: UpdateMember) -> Member:
    if request.access not in (None, "owner"):
        _keep_an_owner(tx, log, member)
    if request.wake is not None:
        set_wake(tx, log, member.agent, request.wake)
    changed = _changed(
        tx, member, access=request.access, role=request.role, weight=request.weight, able=request.capabilities
    )
    _append_changed(tx, call, log, member, changed)
    after = load_member(tx, log, member.agent)
    assert after is not None
    return view(tx, call, after)


def _may_change(call: Call, me: MemberState, member: MemberState, request: UpdateMember) -> None:
    own = member.agent == call.agent
    if me.access != "owner" and (request.access is not None or request.weight is not None or request.removed):
        raise Forbidden("access and weight are given by an owner of the room, never taken; ask an owner")
    if not own and me.access != "owner":
        raise Forbidden("you can change only your own role and wake rule")
    if not own and request.wake is not None:
        raise Forbidden("everyone sets their own wake rule")


def _changed(
    tx: Tx,
    member: MemberState,
    *,
    access: Access | None = None,
    role: str | None = None,
    weight: int | None = None,
    able: tuple[str, ...] | None = None,
) -> MemberChanged:
    return MemberChanged(
        agent=member.agent,
        name=agent_name(tx, member.agent),
        access=access or member.access,
        role=role if role is not None else member.role,
        weight=member.weight if weight is None else weight,
        capabilities=member.capabilities if able is None else able,
    )


def _append_changed(tx: Tx, call: Call, log: int, before: MemberState, after: MemberChanged) -> None:
    """Record the change, if it is one."""
    old = (before.access, before.role, before.weight, before.capabilities)
    if (after.access, after.role, after.weight, after.capabilities) != old:
        append(tx, call, log, after)


@handles(INVITE)
def create_invite(tx: Tx, call: Call, request: CreateInvite) -> Invite:
    refuse_direct(request.room, "inviting")
    entered = enter_to_write(tx, call, request.room, "owner")
    agent = need_agent(tx, request.agent) if request.agent else None
    code = base64.urlsafe_b64encode(call.random(18)).decode()
    expires_at = call.now_ms + request.expires_in_s * 1000
    event = InviteCreated(
        hash=_hash(code), agent=agent.id if agent else None, access=request.access, expires_at_ms=expires_at
    )
    append(tx, call, entered.log, event)
    return Invite(
        room=request.room, code=code, agent=request.agent, access=request.access, expires_at=rfc3339(expires_at)
    )


@handles(CHANNEL)
def create_channel(tx: Tx, call: Call, request: CreateChannel) -> ChannelPage:
    refuse_direct(request.room, "adding channels")
    entered = enter_to_write(tx, call, request.room)
    names = {channel.channel for channel in _channels(tx, call, entered.log)}
    if request.channel in names:
        raise NameTaken(f"channel {request.channel!r} exists in {request.room!r}; just send to it")
    append(tx, call, entered.log, ChannelCreated(channel=request.channel, topic=request.topic))
    return ChannelPage(items=_channels(tx, call, entered.log))


@handles(CHANNELS)
def list_channels(tx: Tx, call: Call, request: ListChannels) -> ChannelPage:
    return ChannelPage(items=_channels(tx, call, enter(tx, call, request.room).log))


def _channels(tx: Tx, call: Call, log: int) -> tuple[Channel, ...]:
    states = {
        row[0]: row[1]
        for row in tx.rows(
            "select channel, state from follow where agent = :agent and log = :log", agent=call.agent, log=log
        )
    }
    rows = tx.rows("select name, topic from channel where log = :log order by name", log=log)
    made = [(GENERAL, ""), *((row[0], row[1]) for row in rows)]
    return tuple(Channel(channel=name, topic=topic, following=states.get(name)) for name, topic in made)


@handles(FOLLOW)
def follow_channel(tx: Tx, call: Call, request: FollowChannel) -> Done:
    entered = enter(tx, call, request.room)
    need_channel(tx, entered.log, request.channel)
    tx.run(
        "insert into follow (agent, log, channel, state) values (:agent, :log, :channel, :state)"
        " on conflict (agent, log, channel) do update set state = excluded.state",
        agent=call.agent,
        log=entered.log,
        channel=request.channel,
        state=request.state,
    )
    return Done()


def wake_of(tx: Tx, log: int, agent: int) -> Wake:
    """The member's wake rule; `concerned` unless set."""
    row = tx.row("select wake from preference where agent = :agent and log = :log", agent=agent, log=log)
    return "concerned" if row is None else row[0]


def set_wake(tx: Tx, log: int, agent: int, wake: Wake) -> None:
    tx.run(
        "insert into preference (agent, log, wake) values (:agent, :log, :wake)"
        " on conflict (agent, log) do update set wake = excluded.wake",
        agent=agent,
        log=log,
        wake=wake,
    )
    tx.wake(-agent)  # a session that attends waits for other rooms from now on


def loud_rooms(tx: Tx, agent: int) -> list[int]:
    """Streams of the rooms where the member asked to be woken by everything."""
    rows = tx.rows(
        "select preference.log from preference join member on member.log = preference.log"
        " and member.agent = preference.agent where preference.agent = :agent and wake = 'all'",
        agent=agent,
    )
    return [row[0] for row in rows]


def view(tx: Tx, call: Call, member: MemberState) -> Member:
    agent = load_agent(tx, member.agent)
    state, reach = call.presence(member.agent)
    return Member(
        agent=agent.name,
        kind=agent.kind,
        access=member.access,
        role=member.role,
        capabilities=member.capabilities,
        weight=member.weight,
        presence=state,
        reach=reach,
        via=call.trace(member.agent).via,
        joined_at=rfc3339(member.joined_at),
    )


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
