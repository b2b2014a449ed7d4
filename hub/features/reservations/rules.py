"""Who may hold what: conflicts, and when a reservation is over. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hub.core.errors import Conflict, Invalid, NotFound
from hub.features.reservations.contract import Mode, Why
from hub.features.reservations.globs import Index, Pattern, parse

GRACE_MS: Final = 60_000
MOST_HELD: Final = 1000
MOST_COMPARED: Final = 20_000


class ReservationNotFound(NotFound):
    code, title = "reservation-not-found", "Reservation not found"


class ReservationConflict(Conflict):
    """`conflicts` lists every path with the reservation it meets."""

    code, title = "reservation-conflict", "Somebody holds these paths"


class TooManyReserved(Invalid):
    code, title = "too-many-reserved", "Too much reserved"


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation as it stands."""

    seq: int
    agent: int
    repo: str
    mode: Mode
    reason: str
    paths: tuple[str, ...]
    since_ms: int
    until_ms: int


def why_over(held: Held, now_ms: int, exited_at_ms: int | None) -> Why | None:
    """Why a reservation is over: its time ran out, or its holder's client ended a minute ago."""
    if held.until_ms <= now_ms:
        return "expired"
    if exited_at_ms is not None and exited_at_ms + GRACE_MS <= now_ms:
        return "exited"
    return None


Clashing = tuple[Pattern, Pattern, Held]


def clashes(agent: int, mode: Mode, wanted: Sequence[Pattern], others: Iterable[Held]) -> list[Clashing]:
    """(path asked for, their path, reservation) of everything in the way: only shared ones go together."""
    against = [
        (parse(path), held)
        for held in others
        if held.agent != agent and "exclusive" in (mode, held.mode)
        for path in held.paths
    ]
    return list(Index(against).overlapping(wanted, MOST_COMPARED))


def may_hold(agent: int, wanted: Sequence[Pattern], held: Iterable[Held]) -> None:
    """Raises TooManyReserved when the agent would hold more than 1,000 paths in the room."""
    count = sum(len(one.paths) for one in held if one.agent == agent)
    if count + len(wanted) > MOST_HELD:
        raise TooManyReserved(
            f"you hold {count} paths here and at most {MOST_HELD} are possible; release some, or name their folders"
        )


def same(agent: int, repo: str, mode: Mode, wanted: Sequence[Pattern], held: Iterable[Held]) -> Held | None:
    """The agent's own reservation of exactly these paths."""
    paths = {pattern.text for pattern in wanted}
    mine = (one for one in held if (one.agent, one.repo, one.mode) == (agent, repo, mode))
    return next((one for one in mine if set(one.paths) == paths), None)
