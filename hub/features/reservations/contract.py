"""Reservations: operations, results, events."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hub.core.event import EventBody
from hub.core.model import Model
from hub.core.names import RoomName
from hub.core.operation import AnyOperation, Operation, Request, Result

Mode = Literal["exclusive", "shared"]
Why = Literal["released", "expired", "exited"]
Repo = Annotated[str, Field(max_length=200, pattern=r"^([A-Za-z0-9][A-Za-z0-9._/-]*)?$")]
ReservationId = Annotated[str, Field(min_length=3, max_length=40)]
Glob = Annotated[str, Field(max_length=1000)]
Seconds = Annotated[int, Field(ge=30, le=86_400)]
MOST_PATHS = 100


class Reservation(Result):
    """Paths that an agent holds until a time. It warns others; it locks nothing."""

    id: str
    room: str
    repo: str = ""
    paths: tuple[str, ...]
    mode: Mode
    by: str
    reason: str = ""
    since: str
    until: str
    presence: Literal["online", "away", "offline"]
    offline_since: str | None = None


class Reservations(Result):
    items: tuple[Reservation, ...]


class Clash(Model):
    """One of the paths asked for, and the reservation that it meets."""

    path: str
    theirs: str
    reservation: Reservation


class Reserve(Request[Reservation]):
    """Hold paths before editing them: all of them, or none and the conflicts. Asking again for the same renews."""

    room: RoomName
    paths: tuple[Glob, ...] = Field(
        min_length=1, max_length=MOST_PATHS, description="Patterns from the repository's root: *, ** and ? only."
    )
    repo: Repo = Field(default="", description="Which repository, where the room works on several.")
    mode: Mode = "exclusive"
    ttl_s: Seconds = 1800
    reason: str = Field(default="", max_length=500)


class ListReservations(Request[Reservations]):
    """What is held in a room now, oldest first; with `path`, what overlaps it."""

    room: RoomName
    repo: Repo | None = Field(default=None, description="Only this repository.")
    path: Glob | None = None
    mine: bool = False


class Renew(Request[Reservation]):
    """Hold your reservation for `ttl_s` seconds from now."""

    room: RoomName
    reservation: ReservationId
    ttl_s: Seconds = 1800


class Release(Request[Reservation]):
    """Give a reservation back: your own, or as an owner of the room anybody's."""

    room: RoomName
    reservation: ReservationId


class ReleaseAll(Request[Reservations]):
    """Give back everything you hold in a room."""

    room: RoomName


class Override(Request[Reservations]):
    """Record that you change paths that others hold, and why; the holders get a notice."""

    room: RoomName
    reservations: tuple[ReservationId, ...] = Field(min_length=1, max_length=100)
    paths: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=500)


_R = "/v1/rooms/{room}/reservations"
RESERVE = Operation("reservations.make", f"POST {_R}", "reserve", Reserve, Reservation, 201)
LIST = Operation("reservations.list", f"GET {_R}", "room:read", ListReservations, Reservations)
RENEW = Operation("reservations.renew", f"PATCH {_R}/{{reservation}}", "reserve", Renew, Reservation)
RELEASE = Operation("reservations.release", f"DELETE {_R}/{{reservation}}", "reserve", Release, Reservation)
RELEASE_ALL = Operation("reservations.release_all", f"DELETE {_R}", "reserve", ReleaseAll, Reservations)
OVERRIDE = Operation("reservations.override", f"POST {_R}/overrides", "reserve", Override, Reservations, 201)
OPERATIONS: list[AnyOperation] = [RESERVE, LIST, RENEW, RELEASE, RELEASE_ALL, OVERRIDE]


class ReservationMade(EventBody):
    """The reservation's id is made from this event's place. Renewals are not events."""

    type: ClassVar[str] = "reservation.made"
    repo: str = ""
    paths: tuple[str, ...]
    mode: Mode
    until_ms: int
    reason: str = ""


class ReservationReleased(EventBody):
    """Given back by its holder or an owner, run out, or 60 s after the holder's client ended."""

    type: ClassVar[str] = "reservation.released"
    reservation: str
    holder: int
    why: Why
    by_other: bool = False

    def concerns(self) -> tuple[int, ...]:
        return (self.holder,) if self.by_other else ()

    def subject(self, log: int, seq: int) -> str:
        return self.reservation

    def notice(self) -> str:
        return f"An owner of the room released your reservation {self.reservation}."


class ReservationOverridden(EventBody):
    type: ClassVar[str] = "reservation.overridden"
    reservations: tuple[str, ...]
    paths: tuple[str, ...]
    reason: str
    holders: tuple[int, ...]

    def concerns(self) -> tuple[int, ...]:
        return self.holders

    def subject(self, log: int, seq: int) -> str:
        return self.reservations[0]

    def notice(self) -> str:
        shown = ", ".join(self.paths[:5]) + (" …" if len(self.paths) > 5 else "")
        return f"Somebody changes what you hold ({shown}): {self.reason}"
