"""`run`: execute a script in the hub's sandbox, with its output as it comes and its exit code."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

import click

from hub.client import HubClient
from hub.core.visible import visible
from hub.features.runs.contract import CancelRun, GetRun, Language, Run, StartRun
from mcp_bridge.commands.common import json_option, show, with_client

_NO_ID: Final = ""

_LANGUAGES: Final[dict[str, Language]] = {
    ".py": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".sh": "bash", ".bash": "bash",
}  # fmt: skip


@click.command()
@click.argument("script", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--room", required=True, help="The room that sees it; a person must have switched runs on there.")
@click.option("--language", type=click.Choice(["python", "javascript", "bash"]), help="Default: by the file's ending.")
@click.option("--timeout-s", type=float, default=10, show_default=True, help="End it after this long (at most 300).")
@click.option("--file", "files", multiple=True, help="A file of the room to read in /room (repeatable).")
@click.option(
    "--save", multiple=True, help="Names in /work to keep as files of the room, like 'plot*.png' (repeatable)."
)
@json_option
@with_client
async def run(
    client: HubClient, script: str, room: str, language: Language | None, as_json: bool, **asked: Any
) -> None:
    """Run SCRIPT (- for standard input) in the hub's sandbox.

    Output comes as it is written; the exit code is the script's, or 1 when the hub ended it. Ctrl-C cancels the run.
    """
    code = sys.stdin.read() if script == "-" else await asyncio.to_thread(Path(script).read_text, "utf-8")
    spoken = language or _LANGUAGES.get(Path(script).suffix)
    if spoken is None:
        raise click.UsageError("name the language: --language python, javascript or bash")
    screen = Screen(quiet=as_json)
    follower = asyncio.create_task(screen.follow(client, room))
    await screen.following.wait()
    started = await client.call(StartRun(room=room, language=spoken, code=code, **asked))
    screen.show(started)
    try:
        while not started.settled():
            started = await client.call(GetRun(room=room, run=started.id, wait_s=50))
    except asyncio.CancelledError:
        await client.call(CancelRun(room=room, run=started.id))
        raise
    finally:
        follower.cancel()
    screen.finish(started)
    if as_json:
        show(started, as_json, str)
    raise SystemExit(started.exit_code if started.exit_code is not None else 1)


class Screen:
    """Output of one run on the terminal: pieces as they are signalled, what was missed at the end."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._run = _NO_ID
        self._early: list[dict[str, Any]] = []
        self._printed = {"stdout": 0, "stderr": 0}
        self.following = asyncio.Event()

    async def follow(self, client: HubClient, room: str) -> None:
        """Take in the room's signals until cancelled. When they cannot be had, the output comes at the end."""
        try:
            async for signal in client.signals(room, self.following):
                self._early.append(signal)
                self._catch_up()
        finally:
            self.following.set()

    def show(self, run: Run) -> None:
        """This is the run; print what came of it already."""
        self._run = run.id
        self._catch_up()

    def finish(self, run: Run) -> None:
        """Print what was missed, and why it ended if not by itself."""
        self._print("stdout", run.stdout[self._printed["stdout"] :])
        self._print("stderr", run.stderr[self._printed["stderr"] :])
        why = f"ended by the hub: {run.killed_reason}" if run.killed_reason else run.reason
        for file in run.files:
            click.echo(f"mcp-bridge: {visible(file.name)} ({file.id}) is version {file.version} in the room", err=True)
        for left_out in run.not_saved:
            click.echo(f"mcp-bridge: not saved: {visible(left_out)}", err=True)
        if why or run.exit_code is None:
            click.echo(f"mcp-bridge: the run is {run.state}. {why}".rstrip(), err=True)

    def _catch_up(self) -> None:
        if self._run == _NO_ID:
            return
        for signal in self._early:
            if signal["run"] == self._run and signal["offset"] == self._printed[signal["stream"]]:
                self._print(signal["stream"], signal["text"])
        self._early.clear()

    def _print(self, stream: str, text: str) -> None:
        self._printed[stream] += len(text)
        if text and not self._quiet:
            click.echo(visible(text), nl=False, err=stream == "stderr")
