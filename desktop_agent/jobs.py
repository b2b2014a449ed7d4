"""Jobs from the room: one message at a time that is addressed to this agent, answered where it was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from hub.core.caller import Caller
from hub.core.errors import HubError
from hub.features.messages.contract import PostDirect, PostMessage
from hub.kernel.inbox.contract import AckInbox, PollInbox
from hub.kernel.messages.contract import Message

_REUSED: Final = "idempotency-key-reused"


@dataclass(frozen=True, slots=True)
class Job:
    """One message to carry into the window. `cursor` acknowledges it."""

    message: Message
    cursor: str


class JobSource(Protocol):
    """Where jobs come from and answers go."""

    async def next(self, wait_s: float) -> Job | None:
        """The oldest open job; None when there is none within `wait_s`. The same one again until it is settled."""
        ...

    async def settle(self, job: Job, text: str, *, answered: bool) -> None:
        """Reply to whoever asked, then close the job. Repeating it never replies twice."""
        ...


class RoomJobs:
    """Messages addressed to `me`, and direct messages. Other messages are acknowledged and left alone."""

    def __init__(self, hub: Caller, me: str) -> None:
        self._hub = hub
        self._me = me

    async def next(self, wait_s: float) -> Job | None:
        page = await self._hub.call(PollInbox(wait_s=wait_s, limit=1))
        while page.messages and not self._for_me(page.messages[0]):
            page = await self._hub.call(PollInbox(ack=page.cursor, limit=1))
        return Job(page.messages[0], page.cursor) if page.messages else None

    async def settle(self, job: Job, text: str, *, answered: bool) -> None:
        try:
            await self._hub.call(_reply(job.message, text, answered), key=f"desktop/{job.message.id}")
        except HubError as error:
            if error.code != _REUSED:  # reused: it was answered before this process was stopped
                raise
        await self._hub.call(AckInbox(cursor=job.cursor))

    def _for_me(self, message: Message) -> bool:
        asks = message.kind in ("chat", "question") and message.intent != "ack" and message.tombstone is None
        return asks and (self._me in message.to or message.room.startswith("@"))


def _reply(to: Message, text: str, answered: bool) -> PostDirect | PostMessage:
    kind = "answer" if answered and to.kind == "question" else "chat"
    common: dict[str, Any] = {"text": text, "reply_to": to.id, "kind": kind}
    if to.room.startswith("@"):
        return PostDirect(agent=to.sender, **common)
    return PostMessage(room=to.room, channel=to.channel, to=(to.sender,), **common)
