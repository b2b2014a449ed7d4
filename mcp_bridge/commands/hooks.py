"""`hooks …`: let GitHub and other services post to a room."""

from __future__ import annotations

import click

from hub.client import HubClient
from hub.features.hooks.contract import CreateHook, Hook, ListHooks, RemoveHook
from mcp_bridge.commands.common import json_option, show, table, with_client


@click.group()
def hooks() -> None:
    """Let GitHub and other services post to a room."""


@hooks.command("create")
@click.argument("room")
@click.option("--source", type=click.Choice(["github", "standard"]), default="github", show_default=True)
@click.option("--channel", default="general", show_default=True)
@click.option(
    "--move", "moves", multiple=True, help="HAPPENING=COLUMN for linked cards (repeatable); default: usual columns."
)
@json_option
@with_client
async def create(
    client: HubClient, room: str, source: str, channel: str, moves: tuple[str, ...], as_json: bool
) -> None:
    """Make a hook for ROOM (as an owner); its secret is shown this once."""
    given: dict[str, object] = {"room": room, "source": source, "channel": channel}
    if moves:
        given["moves"] = dict(move.partition("=")[::2] for move in moves)
    made = await client.call(CreateHook.model_validate(given))
    show(made, as_json, lambda: _told(made, client.url))


def _told(made: Hook, url: str) -> str:
    return f"{made.id}\naddress: {url}{made.path}\nsecret:  {made.secret}  (shown this once)"


@hooks.command("list")
@click.argument("room")
@json_option
@with_client
async def list_(client: HubClient, room: str, as_json: bool) -> None:
    """The hooks of ROOM."""
    page = await client.call(ListHooks(room=room))
    rows = [(h.id, h.source, h.channel, h.by, h.path) for h in page.items]
    show(page, as_json, lambda: table(rows, ("id", "source", "channel", "by", "path")) if rows else "no hooks")


@hooks.command("remove")
@click.argument("room")
@click.argument("hook")
@json_option
@with_client
async def remove(client: HubClient, room: str, hook: str, as_json: bool) -> None:
    """End HOOK: its calls are refused from now on."""
    done = await client.call(RemoveHook(room=room, hook=hook))
    show(done, as_json, lambda: "removed")
