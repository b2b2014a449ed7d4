"""`rooms …`: list, show, new, templates, join, leave, invite, set."""

from __future__ import annotations

from typing import Any, get_args

import click

from hub.client import HubClient
from hub.core.visible import visible
from hub.kernel.rooms.contract import (
    ArchiveRoom,
    CreateInvite,
    CreateRoom,
    GetRoom,
    JoinRoom,
    LeaveRoom,
    ListRooms,
    ListTemplates,
    Room,
    TemplateInfo,
    TemplateName,
    UpdateMember,
    UpdateRoom,
)
from mcp_bridge.commands.common import json_option, show, table, with_client


@click.group()
def rooms() -> None:
    """List, create, join and change rooms."""


@rooms.command("list")
@click.option("--dm", is_flag=True, help="Direct conversations instead.")
@json_option
@with_client
async def list_rooms(client: HubClient, dm: bool, as_json: bool) -> None:
    """Rooms you are in."""
    page = await client.call(ListRooms(dm=dm))
    rows = [(r.room, r.access, str(r.members), _unread(r.unread), r.topic) for r in page.items]
    empty = "you are in no room yet: mcp-bridge rooms join NAME --create"
    show(page, as_json, lambda: table(rows, ("room", "access", "members", "unread", "topic")) if rows else empty)


def _unread(count: int) -> str:
    return "100+" if count > 100 else str(count)


@rooms.command("show")
@click.argument("room")
@json_option
@with_client
async def show_room(client: HubClient, room: str, as_json: bool) -> None:
    """A room's members, channels and settings."""
    found = await client.call(GetRoom(room=room))
    show(found, as_json, lambda: _room(found))


def _room(room: Room) -> str:
    rows = [
        (m.agent, m.kind, m.access, m.role or "", " ".join(m.capabilities), m.presence, m.reach) for m in room.members
    ]
    head = f"{room.room}: {room.settings.topic or '(no topic)'}   open to: {room.settings.open_to}"
    channels = ", ".join(c.channel for c in room.channels)
    how = f"\n\n{visible(room.settings.agreement)}" if room.settings.agreement else ""
    return f"{head}\nchannels: {channels}{how}\n\n" + table(rows, _HEADINGS)


_HEADINGS = ("agent", "kind", "access", "role", "can", "presence", "reach")


@rooms.command("create")
@click.argument("room")
@click.option(
    "--template", type=click.Choice(get_args(TemplateName)), help="Channels, board and agreement to start with."
)
@click.option("--topic", default="")
@click.option("--open-to", type=click.Choice(["invite", "owner", "all"]), default="invite", show_default=True)
@json_option
@with_client
async def create(client: HubClient, room: str, topic: str, open_to: Any, template: Any, as_json: bool) -> None:
    """Create a room; you own it."""
    made = await client.call(CreateRoom(room=room, topic=topic, open_to=open_to, template=template))
    board = f"\nits board: mcp-bridge board show {made.room}" if template else ""
    show(made, as_json, lambda: f"created {made.room}; say something: mcp-bridge send {made.room} hello{board}")


rooms.add_command(create, "new")


@rooms.command("templates")
@json_option
@with_client
async def templates(client: HubClient, as_json: bool) -> None:
    """What a room can start with."""
    found = await client.call(ListTemplates())
    show(found, as_json, lambda: "\n\n".join(_template(template) for template in found.items))


def _template(template: TemplateInfo) -> str:
    parts = [f"{template.template}: {template.title}", f"  roles: {', '.join(template.roles)}"]
    parts += [f"  channels: {', '.join(template.channels)}", f"  board: {' → '.join(template.columns)}"]
    parts += [f"  card: {card}" for card in template.cards]
    return "\n".join([*parts, *(f"  {line}" for line in template.agreement.split("\n"))])


@rooms.command("join")
@click.argument("room")
@click.option(
    "--role", help="A working label: coordinator, researcher, coder, reviewer, tester, observer, or your own."
)
@click.option("--can", "capabilities", multiple=True, help="What you can do: python, gpu … (repeatable).")
@click.option("--invite", help="An invite code.")
@click.option("--create", is_flag=True, help="Make the room when there is none.")
@click.option("--template", type=click.Choice(get_args(TemplateName)), help="What a room that this makes starts with.")
@json_option
@with_client
async def join(
    client: HubClient,
    room: str,
    role: str | None,
    invite: str | None,
    capabilities: tuple[str, ...],
    create: bool,
    template: Any,
    as_json: bool,
) -> None:
    """Enter a room."""
    able = capabilities or None
    found = await client.call(
        JoinRoom(room=room, role=role, invite=invite, create=create, template=template, capabilities=able)
    )
    show(found, as_json, lambda: _room(found))


@rooms.command("leave")
@click.argument("room")
@with_client
async def leave(client: HubClient, room: str) -> None:
    """Leave a room."""
    await client.call(LeaveRoom(room=room))
    click.echo(f"left {room}")


@rooms.command("archive")
@click.argument("room")
@click.confirmation_option(prompt="Archive this room? It stays readable, but nothing new can be written.")
@with_client
async def archive(client: HubClient, room: str) -> None:
    """Archive a room (owners)."""
    await client.call(ArchiveRoom(room=room))
    click.echo(f"archived {room}")


@rooms.command("invite")
@click.argument("room")
@click.argument("agent", required=False)
@click.option("--access", type=click.Choice(["owner", "member", "reader"]), default="member", show_default=True)
@json_option
@with_client
async def invite(client: HubClient, room: str, agent: str | None, access: Any, as_json: bool) -> None:
    """Invite AGENT, or print a code anybody can use."""
    made = await client.call(CreateInvite(room=room, agent=agent, access=access))
    text = f"invited {agent}" if agent else f"code {made.code} (until {made.expires_at})"
    show(made, as_json, lambda: text)


@rooms.command("set")
@click.argument("room")
@click.option("--topic")
@click.option("--agreement", help="How we work here: pinned text, shown to newcomers.")
@click.option("--open-to", type=click.Choice(["invite", "owner", "all"]))
@click.option("--history", type=click.Choice(["all", "since_join"]))
@click.option("--runs/--no-runs", default=None, help="Sandbox runs; needs a person.")
@click.option("--messages-per-min", type=int, help="Loop guard: budget for agents with a model.")
@click.option("--keep-days", type=int)
@click.option("--keep-events", type=int)
@click.option("--keep-bytes", type=int)
@json_option
@with_client
async def set_room(client: HubClient, room: str, as_json: bool, **fields: Any) -> None:
    """Change a room's settings (owners)."""
    given = {name: value for name, value in fields.items() if value is not None}
    found = await client.call(UpdateRoom.model_validate({"room": room, **given}))
    show(found, as_json, lambda: _room(found))


@rooms.command("member")
@click.argument("room")
@click.argument("agent")
@click.option("--access", type=click.Choice(["owner", "member", "reader"]))
@click.option("--weight", type=int, help="Voting weight.")
@click.option("--role")
@click.option("--can", "capabilities", multiple=True, help="What it can do (repeatable; replaces the list).")
@click.option("--remove", "removed", is_flag=True, help="Take the member out.")
@json_option
@with_client
async def member(client: HubClient, room: str, agent: str, as_json: bool, **fields: Any) -> None:
    """Change a member's access, weight or role."""
    given = {name: value for name, value in fields.items() if value not in (None, ())}
    found = await client.call(UpdateMember.model_validate({"room": room, "agent": agent, **given}))
    show(found, as_json, lambda: f"{found.agent}: {found.access}, weight {found.weight}, role {found.role or '-'}")
