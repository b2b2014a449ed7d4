"""A message on its way into the log, and the policies it passes: pure, ordered, before the append."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from hub.core.call import Call
from hub.core.names import GENERAL
from hub.kernel.messages.contract import Intent, MessageKind, Priority
from hub.kernel.rooms.project import Entered
from hub.storage.interface import Tx


@dataclass(slots=True)  # not frozen: freezing eighteen fields costs more than the rest of a send's rules
class Draft:
    """Everything that will stand in `message.posted`, with recipients resolved to (name, id)."""

    text: str
    channel: str = GENERAL
    to: tuple[tuple[str, int], ...] = ()
    mentions: tuple[tuple[str, int], ...] = ()
    kind: MessageKind = "chat"
    intent: Intent = "inform"
    priority: Priority = "normal"
    reply_to: str | None = None
    reply_seq: int | None = None
    reply_sender: int | None = None
    thread: str | None = None
    needs_ack: bool = False
    attachments: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    ttl_s: int | None = None
    hops: int = 0
    tags: tuple[str, ...] = ()


Policy = Callable[[Tx, Call, Entered, Draft], Draft]
POLICIES: list[tuple[int, Policy]] = []


def before_append(order: int) -> Callable[[Policy], Policy]:
    """Register a policy: it may change the draft or refuse with a HubError. Lower orders run first."""

    def register(policy: Policy) -> Policy:
        POLICIES.append((order, policy))
        POLICIES.sort(key=lambda entry: entry[0])
        return policy

    return register


GUARD_ORDER: Final = 20


def apply_policies(tx: Tx, call: Call, entered: Entered, draft: Draft) -> Draft:
    """The draft after all policies."""
    for _order, policy in POLICIES:
        draft = policy(tx, call, entered, draft)
    return draft
