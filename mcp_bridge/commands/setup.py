"""`setup`: put the bridge into the configuration of the clients on this machine, or take it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hub.settings import load
from mcp_bridge.commands.common import json_option
from mcp_bridge.doctor.machine import version_of
from mcp_bridge.push.ladder import SWITCHES, switches
from mcp_bridge.setup.clients import CLIENTS, CannotSetUp, Client, Place, Scope, server_command
from mcp_bridge.setup.edit import CannotEdit
from mcp_bridge.setup.files import Both, Change, Ledger, Writes, edited
from mcp_bridge.setup.hooks import CODEX_SINCE, HooksTarget


@click.command()
@click.argument("clients", nargs=-1, type=click.Choice(list(CLIENTS)))
@click.option(
    "--scope",
    type=click.Choice(["user", "project", "local"]),
    help="All your projects; this one, in a file others share; or this one, for you alone.",
)
@click.option("--dry-run", is_flag=True, help="Show the change and write nothing.")
@click.option("--remove", is_flag=True, help="Take the bridge out again.")
@click.option("--url", help="Use a hub's /mcp over HTTP; the token is read from BRIDGE_TOKEN at run time.")
@click.option(
    "--without", multiple=True, type=click.Choice(list(SWITCHES)), help="Leave out a way into a session (repeatable)."
)
@click.option(
    "--with",
    "extra",
    multiple=True,
    type=click.Choice(["hook"]),
    help="Codex: write hooks, too, which bring messages into a running turn; Codex asks once whether you trust them.",
)
@click.option("--plugin", type=click.Path(path_type=Path), help="Write a Claude Code plugin into this folder.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Write a .mcpb for Claude Desktop to this file.")
@json_option
def setup(
    clients: tuple[str, ...],
    scope: Scope | None,
    dry_run: bool,
    remove: bool,
    url: str | None,
    without: tuple[str, ...],
    extra: tuple[str, ...],
    plugin: Path | None,
    bundle: Path | None,
    as_json: bool,
) -> None:
    """Set up CLIENTS (default: every one found) to start the bridge by themselves.

    Other servers, unknown keys, comments and the file's encoding stay as they are. A backup is kept in the data
    directory. --remove gives back the very bytes when nobody wrote since, and otherwise takes out only our entry.
    """
    from mcp_bridge.commands.common import show

    if plugin or bundle:
        if clients or url or remove or dry_run:
            raise click.UsageError("--plugin and --bundle write files only; leave everything else out")
        click.echo(_write(plugin, bundle, without))
        return
    place = Place.here()
    chosen = [CLIENTS[name] for name in clients] or [c for c in CLIENTS.values() if c.installed(place)]
    if not chosen:
        raise click.UsageError(f"no client found here; name one: {', '.join(CLIENTS)}")
    if without and (scope == "project" or url):
        raise click.UsageError(
            "--without is a switch of `mcp-bridge mcp` on this machine: not for --scope project or --url"
        )
    command = [*server_command(), *switches(without)]
    hooks = False if remove or url or "hook" in without else True if extra else None
    rows = _all(chosen, place, scope, url, command, hooks=hooks, dry_run=dry_run, remove=remove)
    show(rows, as_json, lambda: "\n".join(_text(row) for row in rows))
    if any(row["state"] == "failed" for row in rows):
        raise SystemExit(1)


def _files(
    client: Client, place: Place, scope: Scope, command: list[str], url: str | None, *, hooks: bool | None
) -> list[Writes]:
    """What is to be written, one for each file. `hooks` None: as the client is best left."""
    targets: list[Writes] = [*client.targets(place, scope, command, url)]
    target = client.hooks(place, scope, command, wanted=True)
    wanted = hooks if hooks is not None else target is not None and (not target.asks_first or target.in_place())
    if not wanted or not _knows_our_hooks(client):
        target = client.hooks(place, scope, command, wanted=False)
    if target is None:
        return targets
    if targets[-1].path == target.path:
        return [*targets[:-1], Both(target.path, (targets[-1], target))]
    return [*targets, target]


def _knows_our_hooks(client: Client) -> bool:
    """Not an older Codex, which might not read a file with them at all."""
    if client.name != "codex":
        return True
    found = tuple(int(part) for part in version_of(client).split(".")[:3] if part.isdigit())
    return not found or found >= CODEX_SINCE


def _all(
    chosen: list[Client],
    place: Place,
    scope: Scope | None,
    url: str | None,
    command: list[str],
    *,
    hooks: bool | None,
    dry_run: bool,
    remove: bool,
) -> list[dict[str, Any]]:
    ledger = Ledger(load().home)
    rows = []
    for client in chosen:
        try:
            targets = _files(client, place, scope or client.scopes[0], command, url, hooks=hooks)
        except CannotSetUp as error:
            raise click.UsageError(str(error)) from error
        for target in targets:
            empty = isinstance(target, HooksTarget) and not target.groups
            rows.append(_one(client, target, ledger, dry_run=dry_run, remove=remove or empty))
    return rows


def _write(plugin: Path | None, bundle: Path | None, without: tuple[str, ...]) -> str:
    """Make the plugin or the bundle; what to do with it."""
    from importlib.metadata import version

    from mcp_bridge.setup.bundle import write_bundle
    from mcp_bridge.setup.plugin import MARKETPLACE, NAME, write_plugin

    said, number = [], version("multi-agent-bridge")
    if plugin:
        write_plugin(plugin, server_command(), number, without)
        said.append(f"claude plugin marketplace add {plugin.resolve()}\nclaude plugin install {NAME}@{MARKETPLACE}")
    if bundle:
        write_bundle(bundle, number)
        said.append(f"Open {bundle.resolve()} with Claude Desktop (Settings, Extensions).")
    return "\n".join(said)


def _one(client: Client, target: Writes, ledger: Ledger, *, dry_run: bool, remove: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"client": client.name, "file": str(target.path)}
    try:
        change = change_for(target, ledger, remove=remove)
        row |= {"state": "unchanged"} if not change.needed else {"state": "would change" if dry_run else "changed"}
        if dry_run:
            return row | {"diff": change.diff()}
        if change.needed:
            carry_out(change, target.path, ledger, remove=remove)
    except (CannotEdit, OSError) as error:
        return row | {"state": "failed", "why": f"{error}; nothing was changed"}
    return row


def change_for(target: Writes, ledger: Ledger, *, remove: bool) -> Change:
    """What setting up, or removing, does to one file."""
    return ledger.undo(target.path, target.take) if remove else edited(target.path, target.put)


def carry_out(change: Change, path: Path, ledger: Ledger, *, remove: bool) -> None:
    """Write it."""
    ledger.apply(change)
    if remove:
        ledger.forget(path)


def _text(row: dict[str, Any]) -> str:
    head = f"{row['client']:15} {row['state']:12} {row['file']}"
    return "\n".join(filter(None, [head, row.get("diff", "").rstrip(), row.get("why", "")]))
