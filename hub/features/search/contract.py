"""The search operation."""

from __future__ import annotations

from pydantic import Field

from hub.core.names import AgentName, RoomName
from hub.core.operation import AnyOperation, Operation, Request, Result
from hub.kernel.messages.contract import Message


class Found(Result):
    """Messages that match, newest first. `indexed_to` says up to which number each searched room is covered."""

    items: tuple[Message, ...]
    cursor: str = ""
    has_more: bool = False
    indexed_to: dict[str, int]


class Search(Request[Found]):
    """Search messages of your rooms: all words must occur; "exact phrase", prefix*, -without."""

    q: str = Field(min_length=1, max_length=500)
    room: RoomName | None = None
    sender: AgentName | None = None
    limit: int = Field(default=20, ge=1, le=200)


SEARCH = Operation("messages.search", "GET /v1/search", "room:read", Search, Found)
OPERATIONS: list[AnyOperation] = [SEARCH]
