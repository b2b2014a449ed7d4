"""reserve: say what you are about to edit, and see who else does."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hub.core.errors import Invalid
from hub.core.visible import visible
from hub.features.reservations.contract import (
    ListReservations,
    Release,
    ReleaseAll,
    Renew,
    Reservation,
    Reserve,
)
from mcp_bridge.desk import Desk
from mcp_bridge.toolbox import Answer, Args, RoomArg, tool


class ReserveArgs(Args):
    action: Literal["reserve", "renew", "release", "list"] = "reserve"
    paths: list[str] = Field([], description="src/**, docs/*.md")
    room: RoomArg = None
    repo: str | None = Field(None)
    mode: Literal["exclusive", "shared"] = "exclusive"
    ttl_s: int = 1800
    reason: str = ""
    reservation: str | None = Field(None, description="id; release: default all yours")


@tool("Reserve files", {"reservations": "array", "id": "string"})
async def reserve(desk: Desk, args: ReserveArgs) -> Answer:
    """Hold paths before you edit them; a conflict names the holder. Renew before ttl_s ends, release when done."""
    room = await desk.room(args.room)
    found = await _run(desk, args, room)
    shown = [brief(one) for one in found]
    data: dict[str, Any] = {"reservations": shown, "room": room}
    if args.action in ("reserve", "renew"):
        data["id"] = found[0].id
    return Answer(data, "\n".join(map(line, found)) or "nothing is reserved", peer_text=bool(found))


async def _run(desk: Desk, args: ReserveArgs, room: str) -> list[Reservation]:
    if args.action == "list":
        path = args.paths[0] if args.paths else None
        return list((await desk.call(ListReservations(room=room, repo=args.repo, path=path))).items)
    if args.action == "release":
        if args.reservation is None:
            return list((await desk.call(ReleaseAll(room=room))).items)
        return [await desk.call(Release(room=room, reservation=args.reservation))]
    if args.action == "renew":
        if args.reservation is None:
            raise Invalid("renew needs reservation, the id that reserve gave")
        return [await desk.call(Renew(room=room, reservation=args.reservation, ttl_s=args.ttl_s))]
    return [await desk.call(_request(args, room))]


def _request(args: ReserveArgs, room: str) -> Reserve:
    if not args.paths:
        raise Invalid("reserve needs paths, for example paths=['src/app/**']")
    return Reserve(
        room=room,
        paths=tuple(args.paths),
        repo=args.repo or "",
        mode=args.mode,
        ttl_s=args.ttl_s,
        reason=args.reason,
    )


def brief(held: Reservation) -> dict[str, Any]:
    """A reservation for a model."""
    made: dict[str, Any] = {"id": held.id, "paths": list(held.paths), "by": held.by, "mode": held.mode}
    made |= {"since": held.since[:19] + "Z", "until": held.until[:19] + "Z"}
    optional = {"repo": held.repo, "reason": visible(held.reason), "offline_since": held.offline_since}
    return made | {name: value for name, value in optional.items() if value}


def line(held: Reservation) -> str:
    """A reservation as one line."""
    gone = f", offline since {held.offline_since}" if held.offline_since else ""
    why = f": {visible(held.reason)}" if held.reason else ""
    repo = f"{held.repo}: " if held.repo else ""
    return f"[{held.id}] {repo}{' '.join(held.paths)} {held.mode} by {held.by} until {held.until}{gone}{why}"
