"""`github …`: issues and pull requests from a room."""

from __future__ import annotations

from typing import Any

import click

from hub.client import HubClient
from hub.core.visible import visible
from hub.features.github.contract import (
    AllowGithub,
    GetGithub,
    GetOpening,
    Github,
    ListOpenings,
    Opening,
    OpenIssue,
    OpenPull,
    PreviewOpening,
    RetryOpening,
)
from mcp_bridge.commands.common import json_option, show, table, with_client

_wait = click.option("--wait-s", type=click.FloatRange(0, 55), default=30, show_default=True, help="For GitHub.")


def _shared(function: Any) -> Any:
    """Options of everything that is opened."""
    for option in reversed(
        (
            click.option("--repo", help="owner/name; default: the room's first repository."),
            click.option("--title", help="Default: from the first thing it is about."),
            click.option("--body", default="", help="Before what it is about, which is quoted."),
            click.option("--about", multiple=True, help="Id of a message, card or decision (repeatable)."),
            click.option("--again", is_flag=True, help="Even if there is one about the same."),
            click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing."),
            _wait,
            json_option,
        )
    ):
        function = option(function)
    return function


@click.group()
def github() -> None:
    """Open issues and pull requests from a room, linked to its messages, cards and decisions."""


@github.command("allow")
@click.argument("room")
@click.argument("repositories", nargs=-1)
@json_option
@with_client
async def allow(client: HubClient, room: str, repositories: tuple[str, ...], as_json: bool) -> None:
    """Let members of ROOM open things in these REPOSITORIES (owner/name) and no others; none: nowhere."""
    found = await client.call(AllowGithub(room=room, repositories=repositories))
    show(found, as_json, lambda: _told(found))


@github.command("status")
@click.argument("room")
@json_option
@with_client
async def status(client: HubClient, room: str, as_json: bool) -> None:
    """Where ROOM may open things, and whether the hub can."""
    found = await client.call(GetGithub(room=room))
    show(found, as_json, lambda: _told(found))


def _told(found: Github) -> str:
    where = ", ".join(found.repositories) or "nowhere; an owner allows it: mcp-bridge github allow ROOM owner/name"
    return f"allowed: {where}\n{'not possible now: ' + found.missing if found.missing else 'ready'}"


@github.command("issue")
@click.argument("room")
@click.option("--label", "labels", multiple=True, help="Repeatable.")
@click.option("--assignee", "assignees", multiple=True, help="GitHub login (repeatable).")
@_shared
@with_client
async def issue(
    client: HubClient, room: str, labels: tuple[str, ...], assignees: tuple[str, ...], dry_run: bool, **rest: Any
) -> None:
    """Open an issue from ROOM and link it to what it is about."""
    wait_s, as_json = rest.pop("wait_s"), rest.pop("as_json")
    if dry_run:
        await _preview(client, as_json, kind="issue", room=room, **rest)
    else:
        made = await client.call(OpenIssue(room=room, labels=labels, assignees=assignees, **rest))
        await _until(client, made, wait_s, as_json)


@github.command("pull")
@click.argument("room")
@click.argument("head")
@click.option("--base", help="Default: the repository's default branch.")
@click.option("--draft", is_flag=True)
@_shared
@with_client
async def pull(
    client: HubClient, room: str, head: str, base: str | None, draft: bool, dry_run: bool, **rest: Any
) -> None:
    """Open a pull request for the pushed branch HEAD from ROOM and link it to what it is about."""
    wait_s, as_json = rest.pop("wait_s"), rest.pop("as_json")
    if dry_run:
        await _preview(client, as_json, kind="pull", room=room, head=head, base=base, **rest)
    else:
        made = await client.call(OpenPull(room=room, head=head, base=base, draft=draft, **rest))
        await _until(client, made, wait_s, as_json)


async def _preview(client: HubClient, as_json: bool, **given: Any) -> None:
    given.pop("again")
    found = await client.call(PreviewOpening.model_validate(given))
    show(found, as_json, lambda: f"{found.repo}: {visible(found.title)}\n\n{visible(found.body)}")


async def _until(client: HubClient, made: Opening, wait_s: float, as_json: bool) -> None:
    """Show what became of it; exit code 1 unless it is open or still on its way."""
    found = await client.call(GetOpening(room=made.room, opening=made.id, wait_s=wait_s))
    show(found, as_json, lambda: _line(found))
    if found.state in ("failed", "unknown"):
        raise SystemExit(1)


def _line(one: Opening) -> str:
    why = f"\n  {visible(one.reason)}" if one.reason else ""
    rest = "".join(f"\n  not linked: {visible(reason)}" for reason in one.not_linked)
    return f"{one.id} {one.state} {one.url or one.repo}{why}{rest}"


@github.command("list")
@click.argument("room")
@click.option("--about", help="Only those made from this message, card or decision.")
@json_option
@with_client
async def list_(client: HubClient, room: str, about: str | None, as_json: bool) -> None:
    """What was opened from ROOM, newest first."""
    page = await client.call(ListOpenings(room=room, about=about))
    rows = [(o.id, o.kind, o.state, o.by, ", ".join(o.about), o.url or o.repo) for o in page.items]
    show(page, as_json, lambda: table(rows, ("id", "kind", "state", "by", "about", "where")) if rows else "nothing yet")


@github.command("show")
@click.argument("room")
@click.argument("opening")
@click.option("--wait-s", type=click.FloatRange(0, 55), default=0, show_default=True, help="Until it is settled.")
@json_option
@with_client
async def show_(client: HubClient, room: str, opening: str, wait_s: float, as_json: bool) -> None:
    """What became of OPENING."""
    found = await client.call(GetOpening(room=room, opening=opening, wait_s=wait_s))
    show(found, as_json, lambda: _line(found))


@github.command("retry")
@click.argument("room")
@click.argument("opening")
@_wait
@json_option
@with_client
async def retry(client: HubClient, room: str, opening: str, wait_s: float, as_json: bool) -> None:
    """Try a failed OPENING again; an unknown one is looked for first."""
    await _until(client, await client.call(RetryOpening(room=room, opening=opening)), wait_s, as_json)
