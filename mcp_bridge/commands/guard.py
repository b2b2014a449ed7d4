"""`guard …`: keep commits off files that another agent has reserved."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from hub.client import HubClient
from hub.core.errors import HubUnreachable, Unavailable
from hub.core.visible import visible
from hub.features.reservations.contract import ListReservations, Override
from hub.kernel.agents.contract import GetMe
from mcp_bridge import guard as hook
from mcp_bridge.commands.common import with_client

_HERE = click.option("--at", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where.")


@click.group()
def guard() -> None:
    """Keep commits off files that another agent has reserved."""


@guard.command("install")
@click.option("--room", required=True, help="Whose reservations count.")
@click.option("--repo", default="", help="The repository's name in reservations, if they use one.")
@click.option("--warn", is_flag=True, help="Warn instead of refusing.")
@click.option("--agent", default="", help="Who commits here (default: BRIDGE_NAME, or the token's agent).")
@_HERE
def install(room: str, repo: str, warn: bool, agent: str, at: Path) -> None:
    """Add the pre-commit hook to the git repository here. A hook that exists runs first."""
    try:
        where = hook.install(at, room, repo, warn=warn, agent=agent)
    except hook.GuardError as error:
        raise click.ClickException(str(error)) from error
    what = "warns about" if warn else "refuses"
    click.echo(f"{where}: a commit {what} files that others hold in {room}. Undo: mcp-bridge guard remove")


@guard.command("remove")
@_HERE
def remove(at: Path) -> None:
    """Take the hook away; what was there before comes back."""
    try:
        there = hook.remove(at)
    except hook.GuardError as error:
        raise click.ClickException(str(error)) from error
    click.echo("removed" if there else "there was no guard here")


@guard.command("check")
@click.option(
    "--override", "reason", help="Go on although others hold these files; REASON is recorded and sent to them."
)
@click.option("--as", "agent", help="Who commits.")
@_HERE
@with_client
async def check(client: HubClient, reason: str | None, agent: str | None, at: Path) -> None:
    """Look whether others hold what is staged; exit 1 if so. The hook runs this."""
    try:
        plan, files = hook.read_plan(at), hook.staged(at)
    except hook.GuardError as error:
        raise click.ClickException(str(error)) from error
    try:
        me = agent or os.environ.get("BRIDGE_NAME") or plan.agent or (await client.call(GetMe())).name
        held = (await client.call(ListReservations(room=plan.room, repo=plan.repo))).items
    except (HubUnreachable, Unavailable) as error:
        click.echo(f"mcp-bridge guard: nothing was checked: {error.detail}", err=True)
        return
    found = hook.hits(files, held, me)
    if found:
        await _decide(client, plan, found, reason or plan.override)


async def _decide(client: HubClient, plan: hook.Plan, found: Sequence[hook.Hit], reason: str) -> None:
    for hit in found[:20]:
        one = hit.reservation
        gone = f", offline since {one.offline_since}" if one.offline_since else ""
        why = f": {visible(one.reason)}" if one.reason else ""
        text = f"{visible(hit.file)} is held by {one.by} ({one.mode}) since {one.since} until {one.until}{gone}{why}"
        click.echo(f"mcp-bridge guard: {text}", err=True)
    exclusive = [hit for hit in found if hit.reservation.mode == "exclusive"]
    if not exclusive or plan.warn:
        return
    if not reason:
        click.echo(
            "mcp-bridge guard: not committed. Ask the holder, or go on and tell them:"
            " git -c mcp-bridge.override='REASON' commit …",
            err=True,
        )
        sys.exit(1)
    ids = tuple(dict.fromkeys(hit.reservation.id for hit in exclusive))[:100]
    files = tuple(dict.fromkeys(hit.file for hit in exclusive))[:200]
    await client.call(Override(room=plan.room, reservations=ids, paths=files, reason=reason))
    click.echo("mcp-bridge guard: overridden; the holders are told", err=True)
