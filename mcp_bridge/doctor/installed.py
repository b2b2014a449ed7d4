"""The bridge's entries in the clients' configuration files, read as the clients read them, and what they would start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mcp_bridge.setup import edit
from mcp_bridge.setup.clients import SERVER, Client, Place, Scope
from mcp_bridge.setup.files import decode, read

# clients that start servers with a bare environment: what little they pass on comes from the MCP SDK
BARE: Final = ("codex", "claude-desktop")
HIDDEN: Final = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|KEY|AUTH|CREDENTIAL|PRIVATE|CERT", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$([A-Za-z_][A-Za-z0-9_]*)")


class NotSet(ValueError):
    """The entry refers to a variable that is not set here."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not set in this environment")
        self.name = name


@dataclass(frozen=True, slots=True)
class Installed:
    """One entry in one file of a client."""

    client: Client
    scope: Scope
    path: Path
    entry: Mapping[str, Any]

    @property
    def url(self) -> str:
        """The address of an entry over HTTP; empty for one that starts a program."""
        return str(self.entry.get("url") or self.entry.get("httpUrl") or "")

    @property
    def command(self) -> list[str]:
        """Program and arguments."""
        return [str(self.entry.get("command", "")), *map(str, self.entry.get("args") or ())]

    def passed_on(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables that this client gives its server, beyond those that every program has. Raises NotSet."""
        if self.client.name in BARE:
            kept = {name: environment[name] for name in self.entry.get("env_vars", ()) if name in environment}
        elif self.client.name == "gemini":
            kept = {name: value for name, value in environment.items() if not HIDDEN.search(name)}
        else:
            kept = dict(environment)
        return kept | {name: expand(str(value), environment) for name, value in (self.entry.get("env") or {}).items()}

    def headers(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The headers of an entry over HTTP. Raises NotSet."""
        if variable := self.entry.get("bearer_token_env_var"):
            return {"Authorization": f"Bearer {expand(f'${{{variable}}}', environment)}"}
        given = {**(self.entry.get("headers") or {}), **(self.entry.get("http_headers") or {})}
        return {name: expand(str(value), environment) for name, value in given.items()}


def expand(text: str, environment: Mapping[str, str]) -> str:
    """The text with `${NAME}`, `${env:NAME}`, `${NAME:-default}` and `$NAME` filled in. Raises NotSet."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        if environment.get(name):
            return environment[name]
        if found[2] is not None:
            return found[2]
        raise NotSet(name)

    return _REFERENCE.sub(value, text)


def entries(client: Client, place: Place) -> Iterator[Installed]:
    """Every entry of ours for this client, whatever scope. Raises CannotEdit for a file that cannot be read."""
    seen: set[Path] = set()
    for scope in client.scopes:
        for target in client.targets(place, scope, ["mcp-bridge", "mcp"]):
            data = read(target.path)
            if data is None or (scope != "local" and target.path in seen):  # at home, home is the project
                continue
            seen.add(target.path)
            try:
                entry = edit.value_of(decode(data)[0], target.section, SERVER, toml=target.toml)
            except edit.CannotEdit as error:
                raise edit.CannotEdit(f"{target.path}: {error}") from error
            if entry is not None:
                yield Installed(client, scope, target.path, entry)
