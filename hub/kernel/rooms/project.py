"""Rows of rooms from their events, and loading rooms and members."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import LiteralString

from hub.core.access import Access, Scope, at_least
from hub.core.call import Call
from hub.core.errors import (
    ChannelNotFound,
    DirectRoom,
    Forbidden,
    RoomNotFound,
    listing,
    nearest,
)
from hub.core.errors import RoomArchived as RoomIsArchived
from hub.core.event import Placed
from hub.core.names import GENERAL, is_direct
from hub.kernel.rooms.contract import (
    ChannelCreated,
    InviteCreated,
    MemberChanged,
    MemberJoined,
    MemberLeft,
    RoomArchived,
    RoomChanged,
    RoomCreated,
    RoomPaused,
    Settings,
)
from hub.log.log import find_stream, load_stream, projects
from hub.storage.interface import Row, Tx


@dataclass(frozen=True, slots=True)
class RoomState:
    log: int
    name: str
    settings: Settings
    owner: int
    created_at: int
    archived_at: int | None
    direct: bool = field(init=False)
    """Whether it is a direct conversation."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "direct", is_direct(self.name))


@dataclass(frozen=True, slots=True)
class MemberState:
    agent: int
    access: Access
    role: str | None
    weight: int
    joined_seq: int
    joined_at: int
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entered:
    """A room together with the caller's membership in it."""

    room: RoomState
    member: MemberState

    @property
    def log(self) -> int:
        return self.room.log


@projects(RoomCreated)
def created(tx: Tx, at: Placed, body: RoomCreated) -> None:
    tx.stage("room", (at.log, body.settings.model_dump_json(exclude_defaults=True), body.owner, at.at_ms, None))
    tx.remember(("room", at.log), RoomState(at.log, at.room, body.settings, body.owner, at.at_ms, None))


@projects(RoomChanged)
def changed(tx: Tx, at: Placed, body: RoomChanged) -> None:
    settings = body.settings.model_dump_json(exclude_defaults=True)
    tx.run("update room set settings = :settings where log = :log", settings=settings, log=at.log)
    tx.forget(("room", at.log))


@projects(RoomArchived)
def archived(tx: Tx, at: Placed, body: RoomArchived) -> None:
    tx.run("update room set archived_at = :at where log = :log", at=at.at_ms, log=at.log)
    tx.forget(("room", at.log))


@projects(MemberJoined)
def joined(tx: Tx, at: Placed, body: MemberJoined) -> None:
    tx.stage("member", (at.log, body.agent, body.access, body.role, body.weight, at.seq, at.at_ms))
    _enable(tx, at.log, body.agent, body.capabilities)
    tx.remember(
        ("member", at.log, body.agent),
        MemberState(body.agent, body.access, body.role, body.weight, at.seq, at.at_ms, body.capabilities),
    )


def _enable(tx: Tx, log: int, agent: int, capabilities: tuple[str, ...]) -> None:
    """A member's capabilities as one row; they are names, so a space parts them."""
    if capabilities:
        tx.run(  # at once: `load_member` peeks
            "insert into ability (log, agent, names) values (:log, :agent, :names)",
            log=log,
            agent=agent,
            names=" ".join(capabilities),
        )


def _disable(tx: Tx, log: int, agent: int) -> None:
    tx.run("delete from ability where log = :log and agent = :agent", log=log, agent=agent)


@projects(MemberChanged)
def member_changed(tx: Tx, at: Placed, body: MemberChanged) -> None:
    tx.run(
        "update member set access = :access, role = :role, weight = :weight where log = :log and agent = :agent",
        access=body.access,
        role=body.role,
        weight=body.weight,
        log=at.log,
        agent=body.agent,
    )
    _disable(tx, at.log, body.agent)
    _enable(tx, at.log, body.agent, body.capabilities)
    tx.forget(("member", at.log, body.agent))


@projects(MemberLeft)
def left(tx: Tx, at: Placed, body: MemberLeft) -> None:
    tx.run(
        "insert into former (log, agent, access, weight, left_seq)"
        " select log, agent, access, weight, :seq from member where log = :log and agent = :agent"
        " on conflict (log, agent) do update set access = excluded.access, weight = excluded.weight,"
        " left_seq = excluded.left_seq",
        seq=at.seq,
        log=at.log,
        agent=body.agent,
    )
    tx.run("delete from member where log = :log and agent = :agent", log=at.log, agent=body.agent)
    _disable(tx, at.log, body.agent)
    tx.remember(("member", at.log, body.agent), None)


@projects(ChannelCreated)
def channel_created(tx: Tx, at: Placed, body: ChannelCreated) -> None:
    tx.stage("channel", (at.log, body.channel, body.topic))
    tx.remember(("channel", at.log, body.channel), True)


@projects(InviteCreated)
def invite_created(tx: Tx, at: Placed, body: InviteCreated) -> None:
    tx.stage("invite", (at.log, at.seq, body.hash, body.agent, body.access, body.expires_at_ms))


@projects(RoomPaused)
def paused(tx: Tx, at: Placed, body: RoomPaused) -> None:
    """Shown as a notice only; the pause itself is operational."""


_MEMBER: LiteralString = (
    "select member.agent, access, role, weight, joined_seq, joined_at, names from member"
    " left join ability on ability.log = member.log and ability.agent = member.agent where member.log = :log"
)


def stream_id(tx: Tx, room: str) -> int | None:
    """The stream of a room or direct conversation by name."""
    return find_stream(tx, "dm" if is_direct(room) else "room", room)


def load_room(tx: Tx, log: int) -> RoomState:
    def load() -> RoomState:
        row = tx.peek(
            "select log.name, settings, owner, created_at, archived_at from room join log on log.id = room.log"
            " where room.log = :log",
            log=log,
        )
        if row is None:
            raise RoomNotFound("that room does not exist")
        return RoomState(log, row[0], Settings.model_validate_json(row[1]), row[2], row[3], row[4])

    return tx.memo(("room", log), load)


def load_member(tx: Tx, log: int, agent: int) -> MemberState | None:
    def load() -> MemberState | None:
        row = tx.peek(
            _MEMBER + " and member.agent = :agent",
            log=log,
            agent=agent,
        )
        return None if row is None else _member(row)

    return tx.memo(("member", log, agent), load)


@dataclass(frozen=True, slots=True)
class Former:
    """What an owner had given to somebody who left at event `left_seq`."""

    access: Access
    weight: int
    left_seq: int


def load_former(tx: Tx, log: int, agent: int) -> Former | None:
    """What the agent had when it left; None for one that was never here."""
    row = tx.row(
        "select access, weight, left_seq from former where log = :log and agent = :agent", log=log, agent=agent
    )
    return None if row is None else Former(row[0], row[1], row[2])


def load_members(tx: Tx, log: int) -> list[MemberState]:
    """All members, by the order they joined."""
    rows = tx.rows(
        _MEMBER + " order by joined_seq, member.agent",
        log=log,
    )
    return [_member(row) for row in rows]


def _member(row: Row) -> MemberState:
    return MemberState(row[0], row[1], row[2], row[3], row[4], row[5], tuple((row[6] or "").split()))


def members_with(tx: Tx, log: int, scope: Scope, now_ms: int) -> list[MemberState]:
    """Members who may write and have a token with this scope that works now, by the order they joined."""
    rows = tx.rows(
        "select distinct agent from token where agent in (select agent from member where log = :log)"
        " and revoked_at is null and expires_at > :now and ' ' || scopes || ' ' like :scope",
        log=log,
        now=now_ms,
        scope=f"% {scope} %",
    )
    able = {row[0] for row in rows}
    return [m for m in load_members(tx, log) if m.access != "reader" and m.agent in able]


def rooms_of(tx: Tx, agent: int) -> list[int]:
    """Streams the agent is a member of, oldest first."""
    return [row[0] for row in tx.rows("select log from member where agent = :agent order by log", agent=agent)]


def enter(tx: Tx, call: Call, room: str, access: Access = "reader") -> Entered:
    """The room, if the caller is a member with at least `access`.

    Raises RoomNotFound for a missing room and for a foreign one alike, so that names of private rooms stay private.
    """
    log = stream_id(tx, room)
    member = None if log is None else load_member(tx, log, call.agent)
    if log is None or member is None:
        raise _not_found(tx, call, room)
    if not at_least(member.access, access):
        raise Forbidden(f"this needs access '{access}' in room {room!r}; you are '{member.access}'. Ask an owner")
    return Entered(load_room(tx, log), member)


def enter_to_write(tx: Tx, call: Call, room: str, access: Access = "member") -> Entered:
    """Like `enter`, for a change: an archived room refuses."""
    entered = enter(tx, call, room, access)
    if entered.room.archived_at is not None:
        raise RoomIsArchived(f"room {room!r} is archived: it can be read, not changed")
    return entered


def refuse_direct(room: str, what: str) -> None:
    if is_direct(room):
        raise DirectRoom(f"{what} is not possible in a direct conversation; use a room")


def _not_found(tx: Tx, call: Call, room: str) -> RoomNotFound:
    names = [load_stream(tx, log).name for log in rooms_of(tx, call.agent)]
    mine = [name for name in names if not is_direct(name)]
    close = nearest(room, mine)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    where = f"you are in: {listing(mine)}" if mine else "you are in no room yet; join one"
    return RoomNotFound(f"room {room!r} not found; {hint}{where}")


def need_channel(tx: Tx, log: int, channel: str) -> None:
    """Raises ChannelNotFound, with the nearest names, unless the room has the channel."""
    if channel == GENERAL:
        return

    def load() -> bool:
        row = tx.peek("select 1 from channel where log = :log and name = :name", log=log, name=channel)
        return row is not None

    if not tx.memo(("channel", log, channel), load):
        names = [GENERAL, *(str(r[0]) for r in tx.rows("select name from channel where log = :log", log=log))]
        raise ChannelNotFound(f"channel {channel!r} not found; channels here: {listing(names)}")
