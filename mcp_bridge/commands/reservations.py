"""`reservations …`: make, list, renew, release."""

from __future__ import annotations

from typing import Literal

import click

from hub.client import HubClient
from hub.core.visible import visible
from hub.features.reservations.contract import (
    ListReservations,
    Release,
    ReleaseAll,
    Renew,
    Reservation,
    Reservations,
    Reserve,
)
from mcp_bridge.commands.common import json_option, show, table, with_client


@click.group()
def reservations() -> None:
    """Hold paths before editing them, and see who holds what."""


@reservations.command("make")
@click.argument("room")
@click.argument("paths", nargs=-1, required=True)
@click.option("--shared", is_flag=True, help="Others may hold them shared too.")
@click.option("--ttl-s", type=int, default=1800, show_default=True, help="For how long (30 to 86400).")
@click.option("--repo", default="", help="Which repository, where the room works on several.")
@click.option("--reason", default="")
@json_option
@with_client
async def make(
    client: HubClient,
    room: str,
    paths: tuple[str, ...],
    shared: bool,
    ttl_s: int,
    repo: str,
    reason: str,
    as_json: bool,
) -> None:
    """Reserve PATHS (patterns with *, ** and ?; quote them) in ROOM."""
    mode: Literal["exclusive", "shared"] = "shared" if shared else "exclusive"
    found = await client.call(Reserve(room=room, paths=paths, mode=mode, ttl_s=ttl_s, repo=repo, reason=reason))
    show(found, as_json, lambda: text_of((found,)))


def text_of(found: tuple[Reservation, ...]) -> str:
    """Reservations for a terminal."""
    if not found:
        return "nothing is reserved"
    rows = [
        (r.id, r.by, r.mode, r.until[11:19], visible(r.repo), visible(" ".join(r.paths)), visible(r.reason))
        for r in found
    ]
    return table(rows, ("id", "by", "mode", "until", "repo", "paths", "reason"))


@reservations.command("list")
@click.argument("room")
@click.option("--path", help="Only what overlaps this path or pattern.")
@click.option("--repo")
@click.option("--mine", is_flag=True)
@json_option
@with_client
async def list_(client: HubClient, room: str, path: str | None, repo: str | None, mine: bool, as_json: bool) -> None:
    """What is reserved in ROOM now."""
    page = await client.call(ListReservations(room=room, path=path, repo=repo, mine=mine))
    show(page, as_json, lambda: text_of(page.items))


@reservations.command("renew")
@click.argument("room")
@click.argument("reservation")
@click.option("--ttl-s", type=int, default=1800, show_default=True, help="From now (30 to 86400).")
@json_option
@with_client
async def renew(client: HubClient, room: str, reservation: str, ttl_s: int, as_json: bool) -> None:
    """Hold a reservation longer."""
    found = await client.call(Renew(room=room, reservation=reservation, ttl_s=ttl_s))
    show(found, as_json, lambda: text_of((found,)))


@reservations.command("release")
@click.argument("room")
@click.argument("reservation", required=False)
@json_option
@with_client
async def release(client: HubClient, room: str, reservation: str | None, as_json: bool) -> None:
    """Give back RESERVATION, or everything you hold in ROOM."""
    if reservation is None:
        page = await client.call(ReleaseAll(room=room))
    else:
        page = Reservations(items=(await client.call(Release(room=room, reservation=reservation)),))
    show(page, as_json, lambda: f"released {' '.join(r.id for r in page.items)}" if page.items else "you hold nothing")
