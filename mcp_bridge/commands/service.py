"""`service`: start the hub or the desktop agent at login, by systemd, launchd or the Windows task scheduler."""

from __future__ import annotations

import os
import plistlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

WHAT: Final = ("hub", "desktop")
_TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """What installing or removing does: a file (empty path: none) and commands, in order."""

    file: Path | None
    text: bytes
    commands: tuple[tuple[str, ...], ...]


@click.group()
def service() -> None:
    """Start the hub or the desktop agent at login."""


@service.command(context_settings={"ignore_unknown_options": True})
@click.argument("what", type=click.Choice(WHAT))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option("--dry-run", is_flag=True, help="Show what would be written and run.")
def install(what: str, options: tuple[str, ...], dry_run: bool) -> None:
    """Start WHAT at every login, and now. OPTIONS go to `mcp-bridge up`, or to `mcp-bridge desktop auto`.

    The desktop agent needs --window. It asks before each prompt in its small window, unless you add --no-confirm.
    """
    if what == "desktop" and "--no-indicator" in options and "--no-confirm" not in options:
        raise click.UsageError(
            "a service has no terminal to ask you in: leave out --no-indicator (the small window asks), or add --no-confirm"
        )
    start = ("up", "--quiet") if what == "hub" else ("desktop", "auto")
    command = (sys.executable, "-m", "mcp_bridge", *start, *options)
    _carry_out(installing(sys.platform, Path.home(), what, command, os.environ.get("BRIDGE_HOME", "")), dry_run)


@service.command()
@click.argument("what", type=click.Choice(WHAT))
@click.option("--dry-run", is_flag=True, help="Show what would be removed and run.")
def remove(what: str, dry_run: bool) -> None:
    """Stop WHAT and start it at login no more. Its data stays."""
    _carry_out(removing(sys.platform, Path.home(), what), dry_run)


def installing(platform: str, home: Path, what: str, command: tuple[str, ...], data: str) -> Plan:
    """The plan for this system. `data` is BRIDGE_HOME, empty for the usual folder."""
    name = f"multi-agent-bridge-{what}"
    if platform == "win32":
        line = subprocess.list2cmdline(command)
        if data:
            line = f'cmd /c "set BRIDGE_HOME={data}&& {line}"'
        create = ("schtasks", "/Create", "/F", "/SC", "ONLOGON", "/TN", name, "/TR", line)
        return Plan(None, b"", (create, ("schtasks", "/Run", "/TN", name)))
    file = _file(platform, home, name)
    if platform == "darwin":
        return Plan(file, _agent(name, command, data), (("launchctl", "load", "-w", str(file)),))
    reload, enable = ("daemon-reload",), ("enable", "--now", f"{name}.service")
    return Plan(
        file, _unit(what, command, data).encode(), tuple(("systemctl", "--user", *one) for one in (reload, enable))
    )


def removing(platform: str, home: Path, what: str) -> Plan:
    """The plan to undo it; the file named in it is deleted after the commands."""
    name = f"multi-agent-bridge-{what}"
    if platform == "win32":
        return Plan(None, b"", (("schtasks", "/End", "/TN", name), ("schtasks", "/Delete", "/F", "/TN", name)))
    file = _file(platform, home, name)
    if platform == "darwin":
        return Plan(file, b"", (("launchctl", "unload", "-w", str(file)),))
    return Plan(file, b"", (("systemctl", "--user", "disable", "--now", f"{name}.service"),))


def _file(platform: str, home: Path, name: str) -> Path:
    if platform == "darwin":
        return home / "Library" / "LaunchAgents" / f"{name}.plist"
    return home / ".config" / "systemd" / "user" / f"{name}.service"


def _unit(what: str, command: tuple[str, ...], data: str) -> str:
    target = "default.target" if what == "hub" else "graphical-session.target"
    lines = ["[Unit]", f"Description=Multi-Agent Bridge: {what}"]
    lines += [] if what == "hub" else [f"After={target}", f"PartOf={target}"]
    lines += ["", "[Service]", "ExecStart=" + " ".join(_quoted(word).replace("$", "$$") for word in command)]
    lines += [f"Environment={_quoted('BRIDGE_HOME=' + data)}"] if data else []
    lines += ["Restart=on-failure", "RestartSec=5", "", "[Install]", f"WantedBy={target}", ""]
    return "\n".join(lines)


def _quoted(word: str) -> str:
    """A word for systemd: in quotes, its specifiers taken literally. In a command `$` must be doubled too."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _agent(name: str, command: tuple[str, ...], data: str) -> bytes:
    environment = {"EnvironmentVariables": {"BRIDGE_HOME": data}} if data else {}
    restart = {"SuccessfulExit": False}
    return plistlib.dumps(
        {"Label": name, "ProgramArguments": list(command), "RunAtLoad": True, "KeepAlive": restart, **environment}
    )


def _carry_out(plan: Plan, dry_run: bool) -> None:
    """Write (or, without text, delete) the file and run the commands; the first that fails is an error."""
    if plan.file is not None:
        click.echo(f"{'write' if plan.text else 'delete'} {plan.file}\n{plan.text.decode()}")
    for command in plan.commands:
        click.echo(subprocess.list2cmdline(command))
    if dry_run:
        return
    if plan.file is not None and plan.text:
        plan.file.parent.mkdir(parents=True, exist_ok=True)
        plan.file.write_bytes(plan.text)
    for command in plan.commands:
        _run(command)
    if plan.file is not None and not plan.text:
        plan.file.unlink(missing_ok=True)


def _run(command: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise click.ClickException(f"{command[0]} did not work ({error}); start it by hand instead") from error
    if done.returncode:
        raise click.ClickException(f"{command[0]}: {(done.stderr or done.stdout).strip()[:300]}")
