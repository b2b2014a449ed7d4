"""The demo's stage: starts the agents, shows the room live, checks the log afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click

from hub.client import HubClient
from hub.features.messages.contract import GetReceipts
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom
from hub.settings import Settings
from mcp_bridge.commands.talk import describe
from mcp_bridge.demo.agent import ROOM, SCRIPTS
from mcp_bridge.serve import Served, serving

COLORS: Final = {"planner": "cyan", "writer": "yellow", "reviewer": "green"}
LIMIT_S: Final = 90


class DemoFailed(click.ClickException):
    """The conversation or the log was not as it must be."""


@click.command()
@click.option("--keep", is_flag=True, help="Keep the demo's data directory and print where it is.")
def demo(keep: bool) -> None:
    """Three agents, each a real MCP client in its own process, talk while you watch; then the log is verified.

    Runs on a hub and a data directory of its own, so nothing of yours is touched.
    """
    home = Path(tempfile.mkdtemp(prefix="bridge-demo-"))
    try:
        asyncio.run(_play(home))
    finally:
        if keep:
            click.echo(f"data kept in {home}")
        else:
            _remove(home)


def _remove(home: Path) -> None:
    for path in sorted(home.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    home.rmdir()


async def _play(home: Path) -> None:
    click.echo("Starting a hub and three agents (each an MCP client over stdio) …\n")
    events: Sequence[dict[str, Any]] = ()
    receipts: dict[str, str] = {}
    async with (
        serving(Settings(home=home, port=0, log_level="error")) as served,
        HubClient(served.url, served.token) as client,
        asyncio.timeout(LIMIT_S),
    ):
        await client.call(CreateRoom(room=ROOM, open_to="owner", topic="Ship the release notes"))
        show = asyncio.create_task(_show(client))
        failure = await _agents(served)
        show.cancel()
        if not failure:
            events = (await client.call(ReadEvents(room=ROOM, limit=1000))).items
            receipts = await _handover_receipts(client, events)
    if failure:
        raise DemoFailed(failure)
    _verify(events, receipts)


async def _agents(served: Served) -> str:
    """Run all three to their end; what one said when it failed, else nothing."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    env |= {"BRIDGE_HOME": str(served.hub.settings.home)}
    processes = {
        role: await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mcp_bridge.demo.agent", role, env=env, stderr=asyncio.subprocess.PIPE
        )
        for role in SCRIPTS
    }
    for role, process in processes.items():
        _, error = await process.communicate()
        if process.returncode:
            return f"{role} ended with {process.returncode}:\n{error.decode(errors='replace')[-2000:]}"
    return ""


async def _show(client: HubClient) -> None:
    async for event in client.tail(ROOM):
        line = describe(event)
        color = COLORS.get(event.get("actor", ""))
        click.echo(
            "  " + click.style(line, fg=color)
            if event["type"] == "message.posted"
            else click.style(f"  {line}", dim=True)
        )


async def _handover_receipts(client: HubClient, events: Sequence[dict[str, Any]]) -> dict[str, str]:
    handover = next(e["data"]["id"] for e in events if "Handover" in str((e["data"] or {}).get("text")))
    found = await client.call(GetReceipts(room=ROOM, message=handover))
    return {receipt.agent: receipt.state for receipt in found.receipts}


def _verify(events: Sequence[dict[str, Any]], receipts: dict[str, str]) -> None:
    """The log tells the whole conversation: gapless, in order, question answered, handover received."""
    messages = [e["data"] for e in events if e["type"] == "message.posted"]
    question = next((m for m in messages if m["kind"] == "question"), None)
    checks = {
        "every event is there, numbered without a gap": [e["seq"] for e in events] == list(range(1, len(events) + 1)),
        "time never goes back": all(a["at"] <= b["at"] for a, b in pairwise(events)),
        "all three agents spoke": {m["from"] for m in messages} == set(SCRIPTS),
        "the question has its answer": question is not None
        and any(m["kind"] == "answer" and m["reply_to"] == question["id"] for m in messages),
        "the handover was received": receipts.get("reviewer") == "answered",
    }
    click.echo("\nThe log, verified:")
    for text, fine in checks.items():
        click.echo(f"  {click.style('✓', fg='green') if fine else click.style('✗', fg='red')} {text}")
    if not all(checks.values()):
        raise DemoFailed("the log is not as it must be")
    click.echo(f"\n{len(messages)} messages by 3 agents. Start your own room: mcp-bridge up")
