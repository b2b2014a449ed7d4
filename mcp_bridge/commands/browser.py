"""`browser …`: pair a browser's extension, see its tabs."""

from __future__ import annotations

import click

from hub.client import HubClient
from hub.core.visible import visible
from hub.features.browsers.contract import Browser, ListBrowsers, PairBrowser
from mcp_bridge.commands.common import json_option, show, table, with_client


@click.group()
def browser() -> None:
    """Let Claude in a browser tab join: pair the extension, see its tabs."""


@browser.command("pair")
@json_option
@with_client
async def pair(client: HubClient, as_json: bool) -> None:
    """Print a pairing token for the extension's options, shown this once.

    The page that `mcp-bridge open` opens does the same with one click. End it with `mcp-bridge agents revoke ID`.
    """
    made = await client.call(PairBrowser())
    steps = (
        f"{made.token}\n\n"
        "Paste it in the extension's options. Not installed yet? In chrome://extensions switch on developer mode,\n"
        f"press 'Load unpacked' and choose the folder extension/ of the checkout. (token id {made.token_id})"
    )
    show(made, as_json, lambda: steps)


@browser.command("list")
@json_option
@with_client
async def list_(client: HubClient, as_json: bool) -> None:
    """Tabs that joined, and whether each finds the parts of its page."""
    page = await client.call(ListBrowsers())
    rows = [(b.agent, b.presence, visible(health_line(b))) for b in page.items]
    show(page, as_json, lambda: table(rows, ("tab", "presence", "page")))


def health_line(found: Browser) -> str:
    """How a tab finds its way, in one line."""
    health = found.health
    if health is None:
        return "not looked at yet"
    if health.problem or health.missing:
        lost = f"; not found: {', '.join(health.missing)}" if health.missing else ""
        return f"{health.problem or 'page changed'}{lost} (selectors of {health.selectors})"
    spare = f", by a spare selector: {', '.join(health.fallback)}" if health.fallback else ""
    return f"as expected (selectors of {health.selectors}{spare})"
