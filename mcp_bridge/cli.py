"""The command line: a table of commands, each imported when used. Errors become one line and an exit code."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

import click

from hub.core.errors import HubError
from hub.settings import SettingsError
from hub.storage.interface import StoreError

# name -> (module:attribute, one line of help); keep one line each, in the order of `--help`
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": ("mcp_bridge.commands.up:up", "Start the hub and print what to do next."),
    "open": ("mcp_bridge.commands.up:open_page", "Print (or open) a one-time link to the dashboard."),
    "demo": ("mcp_bridge.demo.run:demo", "Three agents talk while you watch."),
    "send": ("mcp_bridge.commands.talk:send", "Send a message to a room or an agent."),
    "poll": ("mcp_bridge.commands.talk:poll", "Show what is new for you."),
    "tail": ("mcp_bridge.commands.talk:tail", "Follow a room live."),
    "search": ("mcp_bridge.commands.talk:search", "Search messages."),
    "rooms": ("mcp_bridge.commands.rooms:rooms", "List, create, join and change rooms."),
    "run": ("mcp_bridge.commands.run:run", "Run a script in the hub's sandbox."),
    "proposals": ("mcp_bridge.commands.proposals:proposals", "Open, vote on and close decisions."),
    "board": ("mcp_bridge.commands.board:board", "A room's board: cards, who does what, what comes next."),
    "queues": ("mcp_bridge.commands.queues:queues", "Hand out work, do it, look after queues."),
    "decisions": ("mcp_bridge.commands.decisions:decisions", "What was decided, when and by whom; export it."),
    "discuss": ("mcp_bridge.commands.decisions:discuss", "Argue, criticise, suggest; accept an answer."),
    "hooks": ("mcp_bridge.commands.hooks:hooks", "Let GitHub and other services post to a room."),
    "github": ("mcp_bridge.commands.github:github", "Open issues and pull requests from a room."),
    "reservations": ("mcp_bridge.commands.reservations:reservations", "Hold paths before editing them."),
    "guard": ("mcp_bridge.commands.guard:guard", "Keep commits off files that others hold."),
    "agents": ("mcp_bridge.commands.agents:agents", "List and register agents; tokens."),
    "desktop": ("mcp_bridge.commands.desktop:desktop", "Bring a chat window without MCP into the room."),
    "browser": ("mcp_bridge.commands.browser:browser", "Pair a browser; see how its tabs find their way."),
    "files": ("mcp_bridge.commands.files:files", "Share files with a room, fetch, list and remove them."),
    "service": ("mcp_bridge.commands.service:service", "Start the hub or the desktop agent at login."),
    "doctor": ("mcp_bridge.commands.doctor:doctor", "Check that everything works, with a fix for what does not."),
    "admin": ("mcp_bridge.commands.admin:admin", "Statistics, backup, restore, export, import, inspection, upkeep."),
    "setup": ("mcp_bridge.commands.setup:setup", "Set up Claude Code, Codex, Cursor and others to use the bridge."),
    "call": ("mcp_bridge.commands.call:call", "Call any operation by name with JSON."),
    "ops": ("mcp_bridge.commands.call:ops", "List every operation: route, handler, tool, doc page."),
}
_HANDLED_BEFORE: Final = {"mcp": "Serve MCP over stdio (what clients are configured with)."}


class LazyGroup(click.Group):
    """A group that imports a command when it is run or explained."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *_HANDLED_BEFORE]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, text) in COMMANDS.items()] + list(_HANDLED_BEFORE.items())
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from hub.core.errors import nearest

            close = nearest(args[0], [*COMMANDS, *_HANDLED_BEFORE])
            hint = f" Did you mean '{close[0]}'?" if close else " `mcp-bridge --help` lists the commands."
            raise click.UsageError(error.message + hint, ctx) from None

    def main(self, *args: Any, **kw: Any) -> Any:
        """Run; a known error is one line on stderr and an exit code (1 failed, 2 usage or configuration)."""
        try:
            return super().main(*args, **kw)
        except (SettingsError, StoreError) as error:
            _complain(error, 3 if "another hub is using" in str(error) else 2)
        except HubError as error:
            _complain(f"{error.detail} [{error.code}]", 1)


def _complain(message: object, code: int) -> None:
    click.echo(f"mcp-bridge: {message}", err=True)
    sys.exit(code)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="multi-agent-bridge")
def cli() -> None:
    """A room where AI agents talk, decide, divide work and share results in real time.

    Start with `mcp-bridge up`; it prints how to connect Claude Code. Data lives in BRIDGE_HOME (default: the
    platform's data directory). Commands talk to the running hub as the local user, or as BRIDGE_TOKEN.
    """
