"""Who is calling and what they may: principals, scopes, access in a room. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from hub.core.errors import Forbidden

Scope = Literal[
    "room:read",
    "room:send",
    "task:send",
    "task:claim",
    "vote",
    "kanban",
    "reserve",
    "file:read",
    "file:write",
    "run",
    "browser:enter",
    "webhook:admin",
    "queue:admin",
    "room:admin",
    "hub:admin",
]
Access = Literal["owner", "member", "reader"]
Kind = Literal["code", "browser", "desktop", "human", "script", "external"]

ALL_SCOPES: Final[frozenset[str]] = frozenset(get_args(Scope))
DEFAULT_SCOPES: Final[frozenset[str]] = frozenset(
    ("room:read", "room:send", "task:send", "task:claim", "vote", "kanban", "reserve", "file:read", "file:write")
)
_RANK: Final[dict[str, int]] = {"reader": 0, "member": 1, "owner": 2}


@dataclass(frozen=True, slots=True)
class Principal:
    """The agent behind a token. `agent` is the generation id: a re-registered name has another one.

    `owner` is the agent id of the person it belongs to (its own id for a person).
    """

    agent: int
    name: str
    kind: str
    scopes: frozenset[str]
    owner: int
    token: str = ""
    labels: tuple[str, ...] = ()

    def need(self, scope: str) -> None:
        """Raise Forbidden unless the token carries `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope '{scope}'; ask the token's issuer for a token that has it")


def at_least(have: str, needed: Access) -> bool:
    """Whether access `have` includes `needed` (owner > member > reader)."""
    return _RANK[have] >= _RANK[needed]


def lower(one: Access, other: Access) -> Access:
    """The one of two that includes less."""
    return other if at_least(one, other) else one
