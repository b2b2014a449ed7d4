"""`desktop`: a chat window without MCP takes part, with a person's hands."""

from __future__ import annotations

import asyncio
import secrets

import click

from desktop_agent.assist import Pace, Person
from desktop_agent.assist import assist as carry
from desktop_agent.clipboard import NoClipboard, SystemClipboard
from desktop_agent.jobs import Job, RoomJobs
from hub.client import HubClient
from hub.core.visible import visible
from hub.kernel.agents.contract import GetMe
from hub.kernel.rooms.contract import JoinRoom
from mcp_bridge.commands.common import with_client

_LOOK_S = 0.3


@click.group()
def desktop() -> None:
    """Bring a chat window without MCP into the room."""


@desktop.command()
@click.option("--room", help="Join this room first.")
@click.option("--give-up-s", type=click.FloatRange(min=1), default=900, show_default=True)
@click.option("--once", is_flag=True, help="Stop after one message.")
@with_client
async def assist(client: HubClient, room: str | None, give_up_s: float, once: bool) -> None:
    """Offer each message for this agent on the clipboard; you paste it, and copy the answer back.

    Needs BRIDGE_TOKEN of an agent of kind desktop (`mcp-bridge agents register NAME --kind desktop`). You are asked
    before each message. Of what you copy, only text between the message's own marks is ever sent.
    """
    me = await client.call(GetMe())
    if me.kind != "desktop":
        raise click.UsageError(
            f"{me.name} is of kind {me.kind}: run `mcp-bridge agents register NAME --kind desktop` "
            "and set BRIDGE_TOKEN to its token"
        )
    if room:
        await client.call(JoinRoom(room=room))
    try:
        await _serve(RoomJobs(client, me.name), give_up_s, once)
    except NoClipboard as error:
        raise click.ClickException(str(error)) from error


async def _serve(jobs: RoomJobs, give_up_s: float, once: bool) -> None:
    """Carry one job after the other."""
    clipboard, person = SystemClipboard(), Person(_agrees, click.echo)
    clipboard.read()
    pace = Pace(give_up_s, lambda: asyncio.sleep(_LOOK_S))
    click.echo("Waiting for messages; stop with Ctrl-C.")
    while True:
        job = await jobs.next(wait_s=50)
        if job is not None:
            outcome = await carry(job, jobs, clipboard, person, pace, tag=secrets.token_hex(4))
            click.echo(f"{job.message.id}: {outcome.value}")
            if once:
                return


def _agrees(job: Job) -> bool:
    """Show the message and ask. Blocks on purpose: nothing else may happen meanwhile."""
    text = job.message.text
    click.echo(f"\n{job.message.sender} in {job.message.room}:\n{visible(text)}\n")
    unseen = sum(not c.isprintable() and c not in "\n\t" for c in text)
    warning = f" It has {unseen} invisible characters." if unseen else ""
    return click.confirm(f"Put it on the clipboard, in place of what is there?{warning}")
