"""Rows of reservations from their events, and loading them back. A row that ended is gone; the log keeps it."""

from __future__ import annotations

import orjson

from hub.core.call import Call
from hub.core.event import Placed
from hub.core.names import make_id, split_id
from hub.core.times import optional_rfc3339, rfc3339
from hub.features.reservations.contract import (
    Reservation,
    ReservationMade,
    ReservationOverridden,
    ReservationReleased,
)
from hub.features.reservations.rules import Held, ReservationNotFound
from hub.kernel.rooms.contract import MemberLeft
from hub.log.log import agent_name, load_stream, projects
from hub.storage.interface import Tx


@projects(ReservationMade)
def made(tx: Tx, at: Placed, body: ReservationMade) -> None:
    paths = orjson.dumps(body.paths).decode()
    tx.stage(
        "reservation",
        (at.log, at.seq, at.actor, body.repo, body.mode, body.reason, paths, at.at_ms, body.until_ms),
    )


@projects(ReservationReleased)
def released(tx: Tx, at: Placed, body: ReservationReleased) -> None:
    seq = split_id("r", body.reservation)[1]
    tx.run("delete from reservation where log = :log and seq = :seq", log=at.log, seq=seq)


@projects(MemberLeft)
def left(tx: Tx, at: Placed, body: MemberLeft) -> None:
    """Who leaves a room, or is removed, holds nothing there."""
    tx.run("delete from reservation where log = :log and agent = :agent", log=at.log, agent=body.agent)


@projects(ReservationOverridden)
def overridden(tx: Tx, at: Placed, body: ReservationOverridden) -> None:
    """A fact for the record and a notice; the reservation stays."""


def reservation_seq(log: int, reservation: str) -> int:
    """The number of a reservation's event in this stream; raises ReservationNotFound for another room's id."""
    found, seq = split_id("r", reservation, ReservationNotFound)
    if found != log:
        raise ReservationNotFound(f"reservation {reservation!r} is not in this room; pass the room it was made in")
    return seq


def load_held(tx: Tx, log: int, repo: str | None = None) -> list[Held]:
    """Reservations of a room that no event ended, oldest first. Those whose time is over may be among them."""
    rows = tx.rows(
        "select r.seq, agent, repo, mode, reason, paths, since, coalesce(n.until, r.until)"
        " from reservation r left join renewal n on n.log = r.log and n.seq = r.seq"
        " where r.log = :log and (:every = 1 or repo = :repo) order by r.seq",
        log=log,
        every=int(repo is None),
        repo=repo or "",
    )
    return [
        Held(row[0], row[1], row[2], row[3], row[4], tuple(orjson.loads(row[5])), row[6], int(row[7])) for row in rows
    ]


def exited_at(tx: Tx, call: Call, agent: int) -> int | None:
    """When the agent's last client ended, unless it has shown up since, here or at another hub."""
    ended = call.trace(agent).exited_at_ms
    if ended is None:
        return None
    row = tx.row("select seen_at from presence where agent = :agent", agent=agent)
    return None if row is not None and row[0] > ended else ended


def view(tx: Tx, call: Call, log: int, held: Held) -> Reservation:
    """A reservation as everyone sees it, with whether its holder is there."""
    presence = call.presence(held.agent)[0]
    return Reservation(
        id=make_id("r", log, held.seq),
        room=load_stream(tx, log).name,
        repo=held.repo,
        paths=held.paths,
        mode=held.mode,
        by=agent_name(tx, held.agent),
        reason=held.reason,
        since=rfc3339(held.since_ms),
        until=rfc3339(held.until_ms),
        presence=presence,
        offline_since=optional_rfc3339(_last_sign(tx, call, held.agent)) if presence == "offline" else None,
    )


def _last_sign(tx: Tx, call: Call, agent: int) -> int | None:
    trace = call.trace(agent)
    if (last := trace.exited_at_ms or trace.seen_at_ms) is not None:
        return last
    row = tx.row("select seen_at from presence where agent = :agent", agent=agent)
    return None if row is None else int(row[0])
