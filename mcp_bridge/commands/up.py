"""`up` and `open`: start the hub, say what to do next."""

from __future__ import annotations

import shutil
import webbrowser
from pathlib import Path
from typing import Any

import click
import httpx2

from hub.client.client import locate
from hub.core.errors import HubUnreachable
from hub.settings import load
from mcp_bridge.serve import Served, run


@click.command()
@click.option("--host", help="Address to listen on (default 127.0.0.1; another one needs TLS or --behind-proxy).")
@click.option("--port", type=int, help="Port to listen on (default 7411; 0 picks a free one).")
@click.option("--fallback-port", is_flag=True, default=None, help="Take any free port when the port is in use.")
@click.option(
    "--home", type=click.Path(path_type=Path), help="Data directory (default: BRIDGE_HOME or the platform's)."
)
@click.option("--tls-cert", help="PEM file with the certificate chain.")
@click.option("--tls-key", help="PEM file with the private key.")
@click.option(
    "--behind-proxy", is_flag=True, default=None, help="A proxy in front serves TLS and sets forwarded headers."
)
@click.option("--idle-stop-s", type=float, help="Stop after this long without anybody (default: never).")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Default: info.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
def up(quiet: bool, **flags: Any) -> None:
    """Start the hub: rooms, MCP server at /mcp, dashboard. Stops with Ctrl-C, losing nothing."""
    settings = load(flags)
    run(settings, (lambda served: None) if quiet else _say)


def typed(program: Path) -> str:
    """What to type for the program here: in a checkout it is not on the PATH of another terminal."""
    folder = Path.cwd()
    return str(program.relative_to(folder)) if program.is_relative_to(folder) else program.name


def _say(served: Served) -> None:
    command = shutil.which("mcp-bridge") or "mcp-bridge"
    code = served.hub.authenticator.login_code(served.hub.local_principal())
    home = served.hub.settings.home
    here = typed(Path(command))
    steps = {
        "demo": "three agents talk while you watch",
        "rooms join lobby --create": "make a room",
        'send lobby "Hello, room"': "say something",
        "tail lobby": "follow it live",
    }
    hints = "\n".join(f"    {here} {step:<28} {what}" for step, what in steps.items())
    click.echo(
        f"""
  Multi-Agent Bridge is up.

  Dashboard     {served.url}/#code={code}
                (one time, 5 minutes; `{here} open` makes another)
  Data          {home}

  Connect Claude Code (once; then every session joins by itself):

    claude mcp add --scope user bridge -- {command} mcp

  Try it now, in another terminal:

{hints}

  Stop with Ctrl-C.
"""
    )


@click.command("open")
@click.option("--print", "only_print", is_flag=True, help="Print the link instead of opening a browser.")
def open_page(only_print: bool) -> None:
    """Open the dashboard: makes a one-time login link (5 minutes)."""
    url, token = locate()
    try:
        answer = httpx2.post(f"{url}/v1/login-codes", headers={"authorization": f"Bearer {token}"}, timeout=10)
        answer.raise_for_status()
    except httpx2.HTTPError as error:
        raise HubUnreachable(f"the hub at {url} did not answer ({error}); start it with `mcp-bridge up`") from error
    link = f"{url}/#code={answer.json()['code']}"
    if only_print or not webbrowser.open(link):
        click.echo(link)
