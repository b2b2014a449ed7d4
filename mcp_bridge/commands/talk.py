"""`send`, `poll`, `tail`, `search`: talking from a terminal."""

from __future__ import annotations

import sys
from typing import Any

import click
import orjson

from hub.client import HubClient
from hub.core.visible import visible
from hub.features.messages.contract import PostDirect, PostMessage
from hub.features.search.contract import Search
from hub.kernel.inbox.contract import PollInbox
from hub.kernel.messages.contract import Message
from hub.kernel.rooms.contract import GetRoom
from mcp_bridge.commands.common import json_option, show, with_client


@click.command()
@click.argument("where")
@click.argument("text", required=False)
@click.option("--to", multiple=True, help="Address an agent (repeatable): wakes it and tracks a receipt.")
@click.option("--channel", default="general", show_default=True)
@click.option("--reply-to", help="Id of the message this answers.")
@click.option("--kind", type=click.Choice(["chat", "question", "answer"]), default="chat", show_default=True)
@click.option("--intent", type=click.Choice(["request", "inform", "ack"]), default="inform", show_default=True)
@click.option("--priority", type=click.Choice(["critical", "high", "normal", "low", "bulk"]), default="normal")
@click.option("--file", "attachments", multiple=True, help="Attach a file of the room, by name or id (repeatable).")
@click.option("--needs-ack", is_flag=True, help="Offer it again until each recipient has acknowledged it.")
@click.option("--ttl-s", type=int, help="Blank the text after this many seconds.")
@click.option("--key", help="Idempotency key: the same key sends once, however often you call.")
@json_option
@with_client
async def send(client: HubClient, where: str, text: str | None, as_json: bool, key: str | None, **more: Any) -> None:
    """Send TEXT (or standard input) to a room, or to an agent with @NAME."""
    body = text if text is not None else sys.stdin.read().rstrip("\n")
    given = {name: value for name, value in more.items() if value is not None}
    if where.startswith("@"):
        given.pop("to")
        given.pop("channel")
        request: Any = PostDirect.model_validate({"agent": where[1:], "text": body, **given})
    else:
        request = PostMessage.model_validate({"room": where, "text": body, **given})
    posted = await client.call(request, key=key)
    show(posted, as_json, lambda: f"{posted.id} in {posted.room} #{posted.seq}, visible to {posted.visible_to}")


@click.command()
@click.option("--wait-s", type=float, default=0, help="Wait up to this long for something (at most 55).")
@click.option("--room", help="Only this room.")
@click.option("--ack", help="Acknowledge up to this cursor first.")
@click.option("--limit", type=int, default=50, show_default=True)
@click.option("--keep", is_flag=True, help="Do not acknowledge what is shown.")
@json_option
@with_client
async def poll(
    client: HubClient, wait_s: float, room: str | None, ack: str | None, limit: int, keep: bool, as_json: bool
) -> None:
    """Show what is new for you, then acknowledge it (unless --keep or --json)."""
    page = await client.call(PollInbox(ack=ack, room=room, wait_s=wait_s, limit=limit))
    show(page, as_json, lambda: "\n".join(map(line, page.messages)) or "nothing new")
    if page.messages and not keep and not as_json:
        await client.call(PollInbox(ack=page.cursor, limit=1))


def line(message: Message) -> str:
    """One message as one terminal line (or more, when its text has them)."""
    where = message.room if message.channel == "general" else f"{message.room}/{message.channel}"
    to = f" → {', '.join(message.to)}" if message.to else ""
    kind = {"question": " ?", "answer": " ✓", "notice": " •"}.get(message.kind, "")
    return f"{message.at[11:19]} [{where}] {message.sender}{to}{kind}: {visible(message.text)}  ({message.id})"


@click.command()
@click.argument("room")
@click.option("--since", "cursor", help="A cursor to go on from.")
@click.option("--all", "everything", is_flag=True, help="From the beginning instead of from now.")
@json_option
@with_client
async def tail(client: HubClient, room: str, cursor: str | None, everything: bool, as_json: bool) -> None:
    """Follow a room live; every event, in order, resuming by itself."""
    if cursor is None and not everything:
        cursor = (await client.call(GetRoom(room=room))).cursor
    async for event in client.tail(room, cursor):
        click.echo(orjson.dumps(event).decode() if as_json else describe(event))


def describe(event: dict[str, Any]) -> str:
    """One event as a terminal line."""
    if "gap" in event:
        return f"(history {event['gap']['from_seq']}–{event['gap']['to_seq']} is not kept any more)"
    data = event["data"] or {}
    at, actor, kind = event["at"][11:19], event["actor"], event["type"]
    if kind == "message.posted" and event["tombstone"] is None:
        to = f" → {', '.join(data['to'])}" if data["to"] else ""
        mark = {"question": " ?", "answer": " ✓"}.get(data["kind"], "")
        return f"{at} {actor}{to}{mark}: {visible(data['text'])}"
    extra = event["tombstone"] or ", ".join(f"{k}={v}" for k, v in data.items() if isinstance(v, str | int))
    return f"{at} · {kind} by {actor} {visible(extra)}"


@click.command()
@click.argument("query")
@click.option("--room", help="Only this room.")
@click.option("--limit", type=int, default=20, show_default=True)
@json_option
@with_client
async def search(client: HubClient, query: str, room: str | None, limit: int, as_json: bool) -> None:
    """Search messages of your rooms: words, "exact phrases", -without."""
    page = await client.call(Search(q=query, room=room, limit=limit))
    show(page, as_json, lambda: "\n".join(map(line, page.items)) or "nothing found")
