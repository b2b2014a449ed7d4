"""Telling MCP clients which resources changed: each only about rooms it is a member of when the change happens.

Notifications are wake-ups; content comes by reading. Listening to a foreign room and to a missing one look the same:
both are accepted and never fire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated, ServerEvent

from hub.app import HubApp
from hub.features.kanban.project import board_head
from hub.kernel.rooms.project import load_members
from hub.log.log import load_stream
from hub.storage.interface import Tx
from mcp_bridge.compat import LegacySubscriptions
from mcp_bridge.resources import INBOX

PARTS: Final = (
    "",
    "/events",
    "/proposals",
    "/decisions",
    "/reservations",
    "/github",
)  # of a room, told whenever it grows
COALESCE_S: Final = 0.02  # under load one notification stands for many commits
log = logging.getLogger(__name__)


def current_agent() -> int:
    """The agent that makes the running request; 0 outside an authenticated one."""
    token = get_access_token()
    return int(token.client_id) if token is not None else 0


class MemberBus(InMemorySubscriptionBus):
    """The SDK's bus, where every listener belongs to the agent that opened it."""

    def __init__(self) -> None:
        super().__init__()
        self._owned: dict[object, tuple[int, Callable[[ServerEvent], None]]] = {}

    @property
    def agents(self) -> set[int]:
        """Who listens to anything."""
        return {agent for agent, _ in self._owned.values()}

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        leave, token = super().subscribe(listener), object()
        self._owned[token] = (current_agent(), listener)

        def unsubscribe() -> None:
            self._owned.pop(token, None)
            leave()

        return unsubscribe

    def tell(self, uris: Iterable[str], agents: set[int]) -> None:
        """Resources changed that only these agents may know of."""
        for uri in uris:
            for agent, listener in list(self._owned.values()):
                if agent in agents:
                    listener(ResourceUpdated(uri=uri))


async def follow(hub: HubApp, bus: MemberBus, legacy: LegacySubscriptions) -> None:
    """Tell subscribers about every growth of their rooms until cancelled."""
    grown = asyncio.Event()
    tails = hub.dispatch.tails
    tails.listen(grown)
    seen, boards = tails.stamp, dict[int, int]()
    try:
        while True:
            await grown.wait()
            await asyncio.sleep(COALESCE_S)
            grown.clear()
            topics, seen = tails.topics_since(seen), tails.stamp
            listening = bus.agents | legacy.agents
            if not listening:
                continue
            try:
                await _tell(hub, bus, legacy, topics, listening, boards)
            except Exception:  # one failed round costs wake-ups, never the next rounds
                log.exception("change notifications failed once")
    finally:
        tails.unlisten(grown)


async def _tell(
    hub: HubApp,
    bus: MemberBus,
    legacy: LegacySubscriptions,
    topics: list[int],
    listening: set[int],
    boards: dict[int, int],
) -> None:
    changed = await hub.store.read(lambda tx: _changed(tx, topics, listening, boards))
    for uris, agents in changed:
        bus.tell(uris, agents)
        for uri in uris:
            await legacy.updated(uri, agents)


def _changed(
    tx: Tx, topics: list[int], listening: set[int], boards: dict[int, int]
) -> list[tuple[list[str], set[int]]]:
    """Per grown room its resources and the listening members; last, whose inboxes grew.

    `boards` keeps how far each board was when its readers were last told; messages do not wake them.
    """
    found: list[tuple[list[str], set[int]]] = []
    for topic in (topic for topic in topics if topic > 1):  # 1 is the hub's own log, below 0 are agents
        stream = load_stream(tx, topic)
        if stream.kind in ("room", "dm"):
            members = {member.agent for member in load_members(tx, topic)} & listening
            if members:
                uris = [f"room://{stream.name}{part}" for part in PARTS]
                if (board := board_head(tx, topic)) != boards.get(topic, 0):
                    boards[topic] = board
                    uris.append(f"room://{stream.name}/board")
                found.append((uris, members))
    everyone = {agent for _, agents in found for agent in agents}
    return [*found, ([INBOX], everyone)] if everyone else []
