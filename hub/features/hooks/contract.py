"""Inbound hooks: operations, results, events. The signed call itself is a hand-written route."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hub.core.event import EventBody
from hub.core.names import ChannelName, Name, RoomName
from hub.core.operation import AnyOperation, Done, Operation, Request, Result

Source = Literal["github", "standard"]
HookId = Annotated[str, Field(min_length=3, max_length=40)]
Happening = Literal["reopened", "review", "merged", "closed"]
MOVES: dict[Happening, str] = {"reopened": "in_progress", "review": "review", "merged": "done", "closed": "done"}


class Hook(Result):
    """A hook of a room. `secret` is shown once, to be entered at the service that calls it."""

    shown_once: ClassVar[str] = "secret"
    id: str
    room: str
    source: Source
    channel: str
    path: str = Field(description="Where the service calls, after the hub's own address.")
    moves: dict[Happening, str] = Field(description="Column to which a linked card goes when this happens.")
    by: str
    at: str
    secret: str | None = None


class Hooks(Result):
    items: tuple[Hook, ...]


class CreateHook(Request[Hook]):
    """Let a service post to the room; it signs with the secret of the result."""

    room: RoomName
    source: Source = "github"
    channel: ChannelName = "general"
    moves: dict[Happening, Name] = Field(
        default_factory=lambda: dict(MOVES),
        description="github: where a card goes that links to the issue or pull request; a column the board lacks is skipped.",
    )


class ListHooks(Request[Hooks]):
    """The hooks of a room, without their secrets."""

    room: RoomName


class RemoveHook(Request[Done]):
    """End a hook: its calls are refused from now on."""

    room: RoomName
    hook: HookId


_R = "/v1/rooms/{room}/hooks"
CREATE = Operation("hooks.create", f"POST {_R}", "webhook:admin", CreateHook, Hook, 201)
LIST = Operation("hooks.list", f"GET {_R}", "room:read", ListHooks, Hooks)
REMOVE = Operation("hooks.remove", f"DELETE {_R}/{{hook}}", "webhook:admin", RemoveHook, Done)
OPERATIONS: list[AnyOperation] = [CREATE, LIST, REMOVE]


class HookCreated(EventBody):
    """The secret is not here: everybody in the room reads its log."""

    type: ClassVar[str] = "hook.created"
    source: Source
    channel: str
    moves: dict[Happening, str]


class HookRemoved(EventBody):
    type: ClassVar[str] = "hook.removed"
    hook: str
