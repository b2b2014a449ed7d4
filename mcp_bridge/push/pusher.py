"""Brings what concerns a session into it: reads the inbox without moving anything, picks a rung, writes one digest."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from mcp_bridge.push.digest import MOST, digest
from mcp_bridge.push.inbox_socket import InboxSocket, PushFailed
from mcp_bridge.push.ladder import QuietHours, Session, choose, fresh, reach, wakes

REMEMBERED: Final = 4096
SPACING_S: Final = 1.0
# Claude Code 2.1.332 drops a peer's messages beyond about 30 at once and one every 2 s after that, with no answer
BURST: Final = 20
REFILL_S: Final = 2.5
MESSAGE_LISTS: Final = ("messages", "answers", "last", "questions")  # fields of tool results that hold messages
SETTLE_S: Final = 0.1  # what comes together goes together
Json = dict[str, Any]
ReadHub = Callable[[str], Json]


def local_minute() -> int:
    """Minutes after midnight, by this machine's clock."""
    now = datetime.now().astimezone()
    return now.hour * 60 + now.minute


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes into the session together; `cursor` acknowledges it, `reached` is where reading goes on."""

    entries: Sequence[Mapping[str, Any]]
    cursor: str | None
    reached: str


class Pusher:
    """One per relay. `read` gets a path of the hub's API as this agent; `waiting` says whether a call of ours is open."""

    def __init__(
        self,
        inbox: InboxSocket | None,
        read: ReadHub,
        waiting: Callable[[], bool],
        note: Callable[[str], None],
        *,
        quiet: QuietHours | None = None,
        minute: Callable[[], int] = local_minute,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._read = read
        self._waiting = waiting
        self._note = note
        self._quiet = quiet or QuietHours()
        self._minute = minute
        self._clock = clock
        self._known: OrderedDict[str, None] = OrderedDict()
        self._after = ""  # pushed up to here; what was acknowledged counts by itself
        self._next_at = 0.0
        self._credit, self._credit_at = float(BURST), clock()
        self._guard = threading.Lock()
        self._grown = threading.Event()
        self.agent = "you"

    @property
    def reach(self) -> str:
        return reach(Session(socket=self._inbox is not None))

    @property
    def free_at(self) -> float:
        """When the next push may be made, by the clock."""
        return self._next_at

    def shown(self, messages: Iterable[str]) -> None:
        """The session has these by another way; they will not be pushed."""
        with self._guard:
            for message in messages:
                self._known[message] = None
                self._known.move_to_end(message)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def wake(self) -> None:
        """Something concerns the agent, or time passed: look again."""
        self._grown.set()

    def run(self, over: threading.Event) -> None:
        """Push until `over`; for a thread of its own."""
        while not over.is_set():
            self._grown.wait(30)
            self._grown.clear()
            if over.wait(max(SETTLE_S, self._next_at - self._clock())):
                return
            try:
                if not self.once() and self._waiting():
                    self._grown.set()  # the open call may end without bringing it
            except Exception as error:  # the hub restarts, or answers oddly: the next wake-up looks again
                self._note(f"push waits: {type(error).__name__}")
                over.wait(1)
                self._grown.set()

    def once(self) -> bool:
        """Look into the inbox and push what should be pushed; whether something was."""
        session = Session(waiting=self._waiting(), socket=self._inbox is not None)
        if choose(session) != "socket" or self._inbox is None:
            return False
        found = self._next()
        if found is None or self._waiting():
            return False
        try:
            self._inbox.push(digest(self.agent, found.entries, found.cursor, secrets.token_hex(4)))
        except PushFailed as error:
            self._note(f"the session's inbox socket failed ({error}); messages wait for the next tool call")
            return False
        finally:
            self._next_at = self._spend()
        self.shown(str(entry["id"]) for entry in found.entries)
        self._after = found.reached
        return True

    def _spend(self) -> float:
        """Take one write from the allowance; when the next may come. What comes meanwhile goes together."""
        now = self._clock()
        self._credit = min(BURST, self._credit + (now - self._credit_at) / REFILL_S) - 1
        self._credit_at = now
        return now + max(SPACING_S, (1 - self._credit) * REFILL_S)

    def _next(self) -> Batch | None:
        """The next page that may disturb now, without what this session has; None when there is none.

        Pages that may not are passed over, so that a session far behind is still told what concerns it; then only
        `poll` may acknowledge.
        """
        quiet = self._quiet.covers(self._minute())
        after, whole = self._after, True
        while True:
            page = self._page(after)
            entries = fresh(page["messages"], self._known)
            if wakes(entries, page.get("waking", ()), quiet=quiet):
                cursor = page["cursor"] if whole and not page.get("gaps") else None
                return Batch(entries, cursor, page["cursor"])
            if not page.get("has_more"):
                return None
            after, whole = page["cursor"], whole and not entries

    def _page(self, after: str) -> Json:
        where = f"/v1/inbox?limit={MOST}&wake=concerned&max_bytes=60000"
        try:
            return self._read(where + (f"&after={quote(after)}" if after else ""))
        except ValueError:  # a cursor of a history that was restored or reset
            self._after = ""
            return self._read(where)


def ids_in(result: Any) -> list[str]:
    """Ids of the messages that a tool result (or a finished task's) shows."""
    if not isinstance(result, dict):
        return []
    inner = result.get("result")
    content = result.get("structuredContent") or (inner.get("structuredContent") if isinstance(inner, dict) else None)
    if not isinstance(content, dict):
        return []
    lists = [content.get(name) for name in MESSAGE_LISTS]
    return [str(m["id"]) for part in lists if isinstance(part, list) for m in part if isinstance(m, dict) and "id" in m]
