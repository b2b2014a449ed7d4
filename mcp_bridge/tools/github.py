"""github: issues and pull requests made from what the room said."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from hub.core.errors import Invalid
from hub.core.visible import visible
from hub.features.github.contract import (
    GetOpening,
    ListOpenings,
    Opening,
    OpenIssue,
    OpenPull,
    PreviewOpening,
    RetryOpening,
)
from hub.server.parse import build
from mcp_bridge.desk import Desk
from mcp_bridge.toolbox import Answer, Args, RoomArg, tool

_WAIT_S: Final = 20


class GithubArgs(Args):
    action: Literal["issue", "pull", "list", "retry"]
    about: list[str] = Field([])
    room: RoomArg = None
    repo: str | None = None
    title: str | None = None
    body: str | None = None
    head: str | None = Field(None, description="pushed branch")
    base: str | None = None
    dry_run: bool = False
    opening: str | None = None
    again: bool = False


@tool("GitHub", {"id": "string", "state": "string", "url": "string"}, open_world=True)
async def github(desk: Desk, args: GithubArgs) -> Answer:
    """Open an issue or pull request from messages, cards, decisions (about); it is linked to them."""
    room = await desk.room(args.room)
    if args.action == "list" and args.opening is None:
        return await _list(desk, args, room)
    if args.dry_run:
        return await _preview(desk, args, room)
    if args.action in ("list", "retry"):
        opening = args.opening or ""
        if not opening:
            raise Invalid("retry needs opening, the id that opening it gave")
        if args.action == "retry":
            await desk.call(RetryOpening(room=room, opening=opening))
    else:
        opening = (await desk.call(_request(args, room))).id
    return _answer(await desk.call(GetOpening(room=room, opening=opening, wait_s=_WAIT_S)))


async def _list(desk: Desk, args: GithubArgs, room: str) -> Answer:
    about = args.about[0] if args.about else None
    found = (await desk.call(build(ListOpenings, {"room": room, "about": about, "limit": 20}))).items
    text = "\n".join(map(line, found)) or "nothing was opened at GitHub from here"
    return Answer({"openings": [brief(one) for one in found], "room": room}, text, peer_text=bool(found))


async def _preview(desk: Desk, args: GithubArgs, room: str) -> Answer:
    kind = "pull" if args.action == "pull" else "issue"
    found = await desk.call(build(PreviewOpening, {"kind": kind, **_given(args, room, "head", "base")}))
    data = {"dry_run": True, "repo": found.repo, "title": found.title, "body": visible(found.body)}
    return Answer(data, f"{found.repo}: {found.title}\n\n{visible(found.body)}", peer_text=True)


def _given(args: GithubArgs, room: str, *more: str) -> dict[str, Any]:
    given = args.model_dump(include={"repo", "title", "body", "about", *more}, exclude_none=True, exclude_defaults=True)
    return {"room": room, **given}


def _request(args: GithubArgs, room: str) -> OpenIssue | OpenPull:
    if args.action == "issue":
        return build(OpenIssue, _given(args, room, "again"))
    if not args.head:
        raise Invalid("a pull request needs head, the branch with the changes, pushed before")
    return build(OpenPull, _given(args, room, "again", "head", "base"))


def _answer(opening: Opening) -> Answer:
    return Answer({**brief(opening), "room": opening.room}, line(opening), peer_text=True)


def brief(one: Opening) -> dict[str, Any]:
    """An opening for a model."""
    made: dict[str, Any] = {"id": one.id, "kind": one.kind, "repo": one.repo, "state": one.state, "by": one.by}
    optional = {
        "title": visible(one.title or ""),
        "url": one.url,
        "about": list(one.about),
        "reason": visible(one.reason),
        "next_try_at": one.next_try_at,
        "not_linked": [visible(why) for why in one.not_linked],
    }
    return made | {name: value for name, value in optional.items() if value}


def line(one: Opening) -> str:
    """An opening as one line."""
    where = f"{one.repo}#{one.number} {one.url}" if one.url else one.repo
    why = f": {visible(one.reason)}" if one.reason else ""
    return f"[{one.id}] {one.kind} {where} {one.state}{why}"
