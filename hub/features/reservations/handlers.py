"""One function per operation: load, decide, append, return. The room's lock is held before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hub.core.call import Call
from hub.core.errors import Forbidden
from hub.core.names import make_id
from hub.features.reservations import rules
from hub.features.reservations.contract import (
    LIST,
    OVERRIDE,
    RELEASE,
    RELEASE_ALL,
    RENEW,
    RESERVE,
    Clash,
    ListReservations,
    Override,
    Release,
    ReleaseAll,
    Renew,
    Reservation,
    ReservationMade,
    ReservationOverridden,
    ReservationReleased,
    Reservations,
    Reserve,
    Why,
)
from hub.features.reservations.globs import Pattern, overlap, parse
from hub.features.reservations.project import exited_at, load_held, reservation_seq, view
from hub.features.reservations.rules import Held
from hub.kernel.rooms.project import enter, enter_to_write, refuse_direct
from hub.log.handler import handles
from hub.log.log import agent_name, append
from hub.storage.interface import Tx

_SHOWN = 5


@handles(RESERVE)
def reserve(tx: Tx, call: Call, request: Reserve) -> Reservation:
    refuse_direct(request.room, "reserving")
    log = enter_to_write(tx, call, request.room).log
    wanted = list({pattern.text: pattern for pattern in map(parse, request.paths)}.values())
    end_due(tx, call, log)
    held = load_held(tx, log)
    here = [one for one in held if one.repo == request.repo]
    if found := rules.clashes(call.agent, request.mode, wanted, here):
        raise _conflict(tx, call, log, found)
    until_ms = call.now_ms + request.ttl_s * 1000
    if (mine := rules.same(call.agent, request.repo, request.mode, wanted, here)) is not None:
        return _extended(tx, call, log, mine, until_ms)
    rules.may_hold(call.agent, wanted, held)
    return _made(tx, call, log, request, wanted, until_ms)


def _made(tx: Tx, call: Call, log: int, request: Reserve, wanted: Sequence[Pattern], until_ms: int) -> Reservation:
    paths = tuple(pattern.text for pattern in wanted)
    event = ReservationMade(repo=request.repo, paths=paths, mode=request.mode, until_ms=until_ms, reason=request.reason)
    placed = append(tx, call, log, event)
    held = Held(placed.seq, call.agent, request.repo, request.mode, request.reason, paths, placed.at_ms, until_ms)
    return view(tx, call, log, held)


def _conflict(tx: Tx, call: Call, log: int, found: Sequence[rules.Clashing]) -> rules.ReservationConflict:
    """The error that names every holder, since when, and whether anybody is there to ask."""
    holders = {held.seq: held for _, _, held in found}
    views = {seq: view(tx, call, log, held) for seq, held in holders.items()}
    clashes = [Clash(path=mine.text, theirs=theirs.text, reservation=views[held.seq]) for mine, theirs, held in found]
    first = {clash.reservation.id: clash for clash in reversed(clashes)}
    lines = [_sentence(clash) for clash in list(first.values())[::-1][:_SHOWN]]
    more = f" And {len(first) - _SHOWN} more." if len(first) > _SHOWN else ""
    return rules.ReservationConflict(
        f"{' '.join(lines)}{more} Nothing was reserved: ask the holder, take other paths, or come back later",
        conflicts=[clash.model_dump(mode="json", exclude={"reservation": {"deduplicated"}}) for clash in clashes[:100]],
    )


def _sentence(clash: Clash) -> str:
    held = clash.reservation
    pattern = "" if clash.theirs == clash.path else f" (as {clash.theirs})"
    why = f" for: {held.reason}" if held.reason else ""
    gone = f"; {held.by} is offline since {held.offline_since}" if held.offline_since else ""
    return f"{clash.path} is held{pattern} by {held.by}, {held.mode}, since {held.since} until {held.until}{gone}{why}."


@handles(LIST)
def list_reservations(tx: Tx, call: Call, request: ListReservations) -> Reservations:
    log = enter(tx, call, request.room).log
    held = [one for one in load_held(tx, log, request.repo) if _why_over(tx, call, one) is None]
    if request.mine:
        held = [one for one in held if one.agent == call.agent]
    if request.path is not None:
        held = _meeting(parse(request.path), held)
    return Reservations(items=tuple(view(tx, call, log, one) for one in held))


def _meeting(pattern: Pattern, held: Iterable[Held]) -> list[Held]:
    return [one for one in held if any(overlap(pattern, parse(path)) for path in one.paths)]


@handles(RENEW)
def renew(tx: Tx, call: Call, request: Renew) -> Reservation:
    log, held = _held(tx, call, request.room, request.reservation)
    if held.agent != call.agent:
        raise Forbidden(f"only its holder {agent_name(tx, held.agent)} can renew a reservation")
    return _extended(tx, call, log, held, call.now_ms + request.ttl_s * 1000)


def _extended(tx: Tx, call: Call, log: int, held: Held, until_ms: int) -> Reservation:
    tx.run(
        "insert into renewal (log, seq, until) values (:log, :seq, :until)"
        " on conflict (log, seq) do update set until = excluded.until",
        log=log,
        seq=held.seq,
        until=until_ms,
    )
    return view(tx, call, log, next(one for one in load_held(tx, log) if one.seq == held.seq))


def _held(tx: Tx, call: Call, room: str, reservation: str) -> tuple[int, Held]:
    """The reservation, if it is still held. Raises ReservationNotFound that says what to do."""
    log = enter_to_write(tx, call, room).log
    seq = reservation_seq(log, reservation)
    held = next((one for one in load_held(tx, log) if one.seq == seq), None)
    if held is None or _why_over(tx, call, held) is not None:
        raise rules.ReservationNotFound(
            f"reservation {reservation} is not held any more (released, or its time ran out); reserve again"
        )
    return log, held


@handles(RELEASE)
def release(tx: Tx, call: Call, request: Release) -> Reservation:
    log, held = _held(tx, call, request.room, request.reservation)
    if held.agent != call.agent and enter(tx, call, request.room).member.access != "owner":
        raise Forbidden(
            f"it belongs to {agent_name(tx, held.agent)}: only its holder or an owner of the room can release it"
        )
    shown = view(tx, call, log, held)
    _end(tx, call, log, held, "released")
    return shown


@handles(RELEASE_ALL)
def release_all(tx: Tx, call: Call, request: ReleaseAll) -> Reservations:
    log = enter_to_write(tx, call, request.room).log
    mine = [one for one in load_held(tx, log) if one.agent == call.agent]
    shown = tuple(view(tx, call, log, held) for held in mine)
    for held in mine:
        _end(tx, call, log, held, "released")
    return Reservations(items=shown)


@handles(OVERRIDE)
def override(tx: Tx, call: Call, request: Override) -> Reservations:
    found = [_held(tx, call, request.room, reservation) for reservation in dict.fromkeys(request.reservations)]
    log = found[0][0]
    holders = tuple(dict.fromkeys(held.agent for _, held in found if held.agent != call.agent))
    event = ReservationOverridden(
        reservations=tuple(make_id("r", log, held.seq) for _, held in found),
        paths=request.paths,
        reason=request.reason,
        holders=holders,
    )
    append(tx, call, log, event)
    return Reservations(items=tuple(view(tx, call, log, held) for _, held in found))


def end_due(tx: Tx, call: Call, log: int) -> int:
    """Release what is over in a room, so that the log never shows two holders; how many that were."""
    due = [(held, why) for held in load_held(tx, log) if (why := _why_over(tx, call, held)) is not None]
    for held, why in due:
        _end(tx, call, log, held, why)
    return len(due)


def _why_over(tx: Tx, call: Call, held: Held) -> Why | None:
    return rules.why_over(held, call.now_ms, exited_at(tx, call, held.agent))


def _end(tx: Tx, call: Call, log: int, held: Held, why: Why) -> None:
    tx.run("delete from renewal where log = :log and seq = :seq", log=log, seq=held.seq)
    event = ReservationReleased(
        reservation=make_id("r", log, held.seq),
        holder=held.agent,
        why=why,
        by_other=why == "released" and held.agent != call.agent,
    )
    append(tx, call, log, event, actor=None if why == "released" else 0)
