"""Our hooks in the files of clients that read hooks from a file: what they look like and which of them are ours.

Codex calls a tool of our own server, once its user trusts the hook; Gemini CLI starts a command. Claude Code's hooks
come with the plugin.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mcp_bridge.push.moments import CODEX, GEMINI, TOOL
from mcp_bridge.setup import edit
from mcp_bridge.setup.files import decode, read

SERVER: Final = "bridge"
LIMIT_S: Final = 10
CODEX_SINCE: Final = (0, 169, 0)  # older ones may not know hooks that call a tool
CODEX_FIELDS: Final = {"event": "${hook_event_name}", "session": "${session_id}", "transcript": "${transcript_path}"}
COMMAND: Final = ("listen", "hook")
Group = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HooksTarget:
    """One file with hooks, and one group of ours at each event; none: ours are taken out."""

    path: Path
    groups: Mapping[str, Group]
    events: Sequence[str]
    asks_first: bool = False  # the client asks its user at the next start, so the user should have wanted them

    def put(self, text: str) -> str:
        for event in self.events:
            text = edit.json_item_remove(text, ("hooks", event), is_ours) if event not in self.groups else text
        for event, group in self.groups.items():
            text = edit.json_item_set(text, ("hooks", event), group, is_ours)
        return text

    def in_place(self) -> bool:
        """Whether the file has one of ours. Raises CannotEdit for a file that cannot be read."""
        data = read(self.path)
        text = decode(data)[0] if data is not None else ""
        return self.take(text) != text

    def take(self, text: str) -> str:
        for event in self.events:
            text = edit.json_item_remove(text, ("hooks", event), is_ours)
        return text


def for_codex(folder: Path, *, wanted: bool) -> HooksTarget:
    """In `hooks.json` beside the configuration."""
    hook = {"type": "mcp_tool", "server": SERVER, "tool": TOOL, "input": CODEX_FIELDS, "timeout": LIMIT_S}
    group: Group = {"hooks": [hook]}
    return replace(_target(folder / "hooks.json", CODEX.moments, group, wanted=wanted), asks_first=True)


def for_gemini(settings: Path, command: Sequence[str], *, wanted: bool) -> HooksTarget:
    """In the settings. `command` starts our server; the hook is another of its commands."""
    line = shlex.join([*_program(command), *COMMAND])
    group: Group = {"hooks": [{"name": SERVER, "type": "command", "command": line, "timeout": LIMIT_S * 1000}]}
    return _target(settings, GEMINI.moments, group, wanted=wanted)


def is_ours(group: Any) -> bool:
    """Whether this group of hooks is one that setting up wrote."""
    hooks = group.get("hooks") if isinstance(group, dict) else None
    return isinstance(hooks, list) and bool(hooks) and all(map(_is_ours, hooks))


def _is_ours(hook: Any) -> bool:
    if not isinstance(hook, dict):
        return False
    calls = hook.get("type") == "mcp_tool" and (hook.get("server"), hook.get("tool")) == (SERVER, TOOL)
    return calls or (hook.get("name") == SERVER and str(hook.get("command", "")).endswith(shlex.join(COMMAND)))


def _target(path: Path, events: Mapping[str, str], group: Group, *, wanted: bool) -> HooksTarget:
    copies: Mapping[str, Group] = {event: json.loads(json.dumps(group)) for event in events} if wanted else {}
    return HooksTarget(path, copies, list(events))


def _program(command: Sequence[str]) -> list[str]:
    """The command up to `mcp`, which serves."""
    return list(command[: command.index("mcp")]) if "mcp" in command else list(command)
