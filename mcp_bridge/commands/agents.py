"""`agents …`: list, register, retire; tokens."""

from __future__ import annotations

from typing import Any, get_args

import click

from hub.client import HubClient
from hub.core.access import Scope
from hub.core.slug import KINDS
from hub.kernel.agents.contract import (
    IssueToken,
    ListAgents,
    ListTokens,
    RegisterAgent,
    RetireAgent,
    RevokeToken,
    RotateToken,
)
from mcp_bridge.commands.common import json_option, show, table, with_client


@click.group()
def agents() -> None:
    """List and register agents; issue, rotate and revoke tokens."""


@agents.command("list")
@click.option("--retired", is_flag=True, help="Include retired ones.")
@json_option
@with_client
async def list_agents(client: HubClient, retired: bool, as_json: bool) -> None:
    """All agents."""
    page = await client.call(ListAgents(retired=retired))
    rows = [(a.name, a.kind, a.owner, ", ".join(a.labels), a.created_at) for a in page.items]
    show(page, as_json, lambda: table(rows, ("name", "kind", "owner", "labels", "since")))


@agents.command("register")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="script", show_default=True)
@click.option("--label", "labels", multiple=True)
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(get_args(Scope)), help="Default: a worker's scopes."
)
@json_option
@with_client
async def register(
    client: HubClient, name: str, kind: Any, labels: tuple[str, ...], scopes: tuple[Any, ...], as_json: bool
) -> None:
    """Register an agent and print its token, shown this once."""
    made = await client.call(RegisterAgent(name=name, kind=kind, labels=labels, scopes=scopes or None))
    show(made, as_json, lambda: f"{made.token}")


@agents.command("retire")
@click.argument("name")
@click.confirmation_option(prompt="Retire this agent? Its tokens end; its messages stay.")
@with_client
async def retire(client: HubClient, name: str) -> None:
    """Retire an agent: its tokens end and its name becomes free."""
    await client.call(RetireAgent(agent=name))
    click.echo(f"retired {name}")


@agents.command("tokens")
@click.argument("name")
@json_option
@with_client
async def tokens(client: HubClient, name: str, as_json: bool) -> None:
    """Tokens of an agent, without their secrets."""
    page = await client.call(ListTokens(agent=name))
    rows = [(t.token_id, t.created_at, t.expires_at, t.revoked_at or "", " ".join(t.scopes)) for t in page.items]
    show(page, as_json, lambda: table(rows, ("id", "created", "expires", "revoked", "scopes")))


@agents.command("token")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(get_args(Scope)))
@json_option
@with_client
async def token(client: HubClient, name: str, scopes: tuple[Any, ...], as_json: bool) -> None:
    """Issue another token for an agent, printed this once."""
    made = await client.call(IssueToken(agent=name, scopes=scopes or None))
    show(made, as_json, lambda: f"{made.token}")


@agents.command("rotate")
@click.argument("token_id")
@json_option
@with_client
async def rotate(client: HubClient, token_id: str, as_json: bool) -> None:
    """A new token; the old one works for 24 more hours."""
    made = await client.call(RotateToken(token_id=token_id))
    show(made, as_json, lambda: f"{made.token}")


@agents.command("revoke")
@click.argument("token_id")
@with_client
async def revoke(client: HubClient, token_id: str) -> None:
    """End a token now."""
    await client.call(RevokeToken(token_id=token_id))
    click.echo(f"revoked {token_id}")
