"""The clients the bridge can be set up in: where each keeps its servers, and how an entry looks there."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from mcp_bridge.push.ladder import SWITCHES
from mcp_bridge.setup import edit, hooks

SERVER: Final = hooks.SERVER
TOKEN_VARIABLE: Final = "BRIDGE_TOKEN"  # noqa: S105  the name of a variable
# what `mcp-bridge mcp` reads from its environment; clients that give their servers a bare one are told to pass it on
PASSED_ON: Final = (
    "BRIDGE_AUTOJOIN",
    "BRIDGE_HOME",
    "BRIDGE_HUB_WAIT_S",
    "BRIDGE_NAME",
    "BRIDGE_PUSH_TRANSCRIPT",
    "BRIDGE_QUIET_HOURS",
    "BRIDGE_ROOM",
    "BRIDGE_SESSION",
    "BRIDGE_SHARE_ROOTS",
    "BRIDGE_TOKEN",
    "BRIDGE_URL",
    *sorted(SWITCHES.values()),
)
Scope = Literal["user", "project", "local"]


class CannotSetUp(ValueError):
    """This client cannot be set up this way; the message says what can."""


@dataclass(frozen=True, slots=True)
class Place:
    """The surroundings: home directory, environment, platform, project. Parameters, so that tests can choose them."""

    home: Path
    environment: Mapping[str, str]
    platform: str
    project: Path

    @classmethod
    def here(cls) -> Place:
        return cls(Path.home(), os.environ, sys.platform, Path.cwd())


@dataclass(frozen=True, slots=True)
class Target:
    """One file and how to put our entry in and out of it."""

    path: Path
    section: edit.Section
    entry: Mapping[str, Any]
    toml: bool = False

    def put(self, text: str) -> str:
        if self.toml:
            return edit.toml_set(text, str(self.section), SERVER, dict(self.entry))
        return edit.json_set(text, self.section, SERVER, dict(self.entry))

    def take(self, text: str) -> str:
        if self.toml:
            return edit.toml_remove(text, str(self.section), SERVER)
        return edit.json_remove(text, self.section, SERVER)


@dataclass(frozen=True, slots=True)
class Client:
    """A client: its name on the command line, its program, the folders that show it is installed."""

    name: str
    title: str
    program: str
    scopes: tuple[Scope, ...]

    def installed(self, place: Place) -> bool:
        """Whether this machine seems to have it."""
        if self.program and shutil.which(self.program, path=place.environment.get("PATH")):
            return True
        return any(path.exists() for path in _traces(self.name, place))

    def targets(self, place: Place, scope: Scope, command: list[str], url: str | None = None) -> list[Target]:
        """The files to change. Raises CannotSetUp for a scope or a transport the client does not have."""
        if scope not in self.scopes:
            raise CannotSetUp(f"{self.title} has no {scope} scope; it has: {', '.join(self.scopes)}")
        entry = _over_http(self.name, self.title, url) if url else _over_stdio(self.name, place, scope, command)
        toml = self.name == "codex"
        section = _section(self.name, place, scope)
        return [Target(path, section, entry, toml) for path in _files(self.name, place, scope)]

    def hooks(self, place: Place, scope: Scope, command: list[str], *, wanted: bool) -> hooks.HooksTarget | None:
        """The file with our hooks, for clients that have one; for the user's own sessions only."""
        if scope != "user" or self.name not in ("codex", "gemini"):
            return None
        path = _files(self.name, place, "user")[0]
        if self.name == "codex":
            return hooks.for_codex(path.parent, wanted=wanted)
        return hooks.for_gemini(path, command, wanted=wanted and place.platform != "win32")


CLIENTS: Final = {
    client.name: client
    for client in (
        Client("claude-code", "Claude Code", "claude", ("user", "project", "local")),
        Client("claude-desktop", "Claude Desktop", "", ("user",)),
        Client("codex", "Codex", "codex", ("user", "project")),
        Client("cursor", "Cursor", "cursor", ("user", "project")),
        Client("vscode", "VS Code", "code", ("project", "user")),
        Client("gemini", "Gemini CLI", "gemini", ("user", "project")),
    )
}


def server_command() -> list[str]:
    """How a client starts our server: the full path, because clients started from a desktop know no shell's PATH."""
    beside = Path(sys.executable).with_name("mcp-bridge.exe" if os.name == "nt" else "mcp-bridge")
    found = str(beside) if beside.exists() else shutil.which("mcp-bridge")
    return [found, "mcp"] if found else [sys.executable, "-m", "mcp_bridge", "mcp"]


def _section(client: str, place: Place, scope: Scope) -> edit.Section:
    if scope == "local":  # in the user's own file, for this project only
        return ("projects", str(place.project), "mcpServers")
    return {"codex": "mcp_servers", "vscode": "servers"}.get(client, "mcpServers")


def _over_http(client: str, title: str, url: str) -> dict[str, Any]:
    """An entry for a hub's /mcp. The token stays in the environment: each client has its own way to refer to it."""
    address = url.rstrip("/").removesuffix("/mcp") + "/mcp"
    if client == "claude-desktop":
        raise CannotSetUp(f"{title} starts programs only; set BRIDGE_URL and BRIDGE_TOKEN for `mcp-bridge mcp` instead")
    if client == "codex":
        return {"url": address, "bearer_token_env_var": TOKEN_VARIABLE}
    reference = {"claude-code": f"${{{TOKEN_VARIABLE}}}", "gemini": f"${TOKEN_VARIABLE}"}
    headers = {"Authorization": "Bearer " + reference.get(client, f"${{env:{TOKEN_VARIABLE}}}")}
    if client == "gemini":
        return {"httpUrl": address, "headers": headers}
    return {**({} if client == "cursor" else {"type": "http"}), "url": address, "headers": headers}


def _over_stdio(client: str, place: Place, scope: Scope, command: list[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"command": command[0], "args": command[1:]}
    if scope == "project":  # shared with others: no path of this machine in it
        entry = {"command": "mcp-bridge", "args": ["mcp"]}
    if client == "codex":  # it passes on what is listed, and of that only what is set
        entry = {**entry, "env_vars": [*PASSED_ON, "CODEX_HOME"]}
    if client in ("claude-code", "vscode"):
        entry = {"type": "stdio", **entry}
    if client == "claude-desktop":  # it has no project: a name and a room of its own
        entry = {**entry, "args": [*entry["args"], "--name", "claude-desktop", "--room", "lobby"]}
        if home := place.environment.get("BRIDGE_HOME"):  # it passes nothing on but what stands here
            entry["env"] = {"BRIDGE_HOME": home}
    return entry


def _files(client: str, place: Place, scope: Scope) -> list[Path]:
    home, project, env = place.home, place.project, place.environment
    if scope == "project":
        return [
            {
                "claude-code": project / ".mcp.json",
                "codex": project / ".codex" / "config.toml",
                "cursor": project / ".cursor" / "mcp.json",
                "vscode": project / ".vscode" / "mcp.json",
                "gemini": project / ".gemini" / "settings.json",
            }[client]
        ]
    if client == "claude-desktop":
        return [folder / "claude_desktop_config.json" for folder in _desktop_folders(place)]
    if client == "claude-code":  # never ~/.claude/settings.json: servers there are ignored
        folder = env.get("CLAUDE_CONFIG_DIR")
        return [Path(folder) / ".claude.json" if folder else home / ".claude.json"]
    if client == "codex":
        return [Path(env.get("CODEX_HOME") or home / ".codex") / "config.toml"]
    if client == "vscode":
        return [_vscode_folder(place) / "mcp.json"]
    return [{"cursor": home / ".cursor" / "mcp.json", "gemini": home / ".gemini" / "settings.json"}[client]]


def _desktop_folders(place: Place) -> list[Path]:
    """Where Claude Desktop keeps its configuration; on Windows a Store (MSIX) build has a folder of its own."""
    if place.platform == "darwin":
        return [place.home / "Library" / "Application Support" / "Claude"]
    if place.platform != "win32":
        return [Path(place.environment.get("XDG_CONFIG_HOME") or place.home / ".config") / "Claude"]
    roaming = Path(place.environment.get("APPDATA") or place.home / "AppData" / "Roaming") / "Claude"
    local = Path(place.environment.get("LOCALAPPDATA") or place.home / "AppData" / "Local")
    packaged = [p / "LocalCache" / "Roaming" / "Claude" for p in sorted((local / "Packages").glob("Claude_*"))]
    return packaged + ([roaming] if roaming.exists() or not packaged else [])


def _vscode_folder(place: Place) -> Path:
    """Where VS Code keeps the settings of the default profile."""
    if place.platform == "darwin":
        return place.home / "Library" / "Application Support" / "Code" / "User"
    if place.platform == "win32":
        return Path(place.environment.get("APPDATA") or place.home / "AppData" / "Roaming") / "Code" / "User"
    return Path(place.environment.get("XDG_CONFIG_HOME") or place.home / ".config") / "Code" / "User"


def _traces(client: str, place: Place) -> list[Path]:
    if client == "claude-desktop":
        return _desktop_folders(place)
    if client == "claude-code":
        return _files(client, place, "user")
    if client == "vscode":
        return [place.project / ".vscode", _vscode_folder(place)]
    return [path.parent for path in _files(client, place, "user")]
