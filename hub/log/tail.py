"""Wake-ups and the newest frames: what lets readers at the head follow a stream without touching SQL.

A wake-up carries no data. Losing one costs latency, never a message: a reader always goes back to its cursor.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Final

from hub.storage.interface import Growth

_FRAMES: Final = 2048
_BYTES: Final = 4 * 1024 * 1024
SIGNALS: Final = 1 << 61  # plus a stream's id: the topic of its signals
_SIGNALS_KEPT: Final = 64  # per room, and rooms: signals are for who listens now
_WAKE_CHUNK: Final = 32  # waking 1,000 at once stalls the loop for 58 ms; in chunks 4 ms


class RoomTail:
    """The last frames of one stream, contiguous up to `head`."""

    __slots__ = ("_bytes", "_frames", "first", "head")

    def __init__(self, first: int) -> None:
        self.first = first
        self.head = first - 1
        self._frames: deque[bytes] = deque()
        self._bytes = 0

    def add(self, seq: int, frame: bytes) -> None:
        if seq != self.head + 1:
            self._frames.clear()
            self._bytes = 0
            self.first = seq
        self._frames.append(frame)
        self.head = seq
        self._bytes += len(frame)
        while len(self._frames) > _FRAMES or self._bytes > _BYTES:
            self._bytes -= len(self._frames.popleft())
            self.first += 1

    def after(self, seq: int, limit: int) -> list[bytes] | None:
        """Frames after `seq`, at most `limit`; None when memory does not reach back that far."""
        if seq + 1 < self.first:
            return None
        start = seq + 1 - self.first
        return [self._frames[i] for i in range(start, min(len(self._frames), start + limit))]


class Tails:
    """Growth of all streams of this process: who waits, and the newest frames."""

    def __init__(self) -> None:
        self._rooms: dict[int, RoomTail] = {}
        self._waiters: dict[int, set[asyncio.Future[None]]] = {}
        self._grown: dict[int, int] = {}
        self._listeners: list[asyncio.Event] = []
        self._signals: OrderedDict[int, deque[tuple[int, bytes]]] = OrderedDict()
        self.stamp = 0
        self.rewritten: set[int] = set()  # streams with texts blanked since somebody cleaned copies up

    def on_growth(self, growth: Sequence[Growth]) -> None:
        """Called by the store after each commit, on the loop."""
        self.stamp += 1
        woken: list[asyncio.Future[None]] = []
        for grown in growth:
            self._grown[grown.log] = self.stamp
            if grown.rewritten:
                self.rewritten.add(grown.log)
            self._remember(grown)
            woken += self._waiters.pop(grown.log, ())
        self._wake(woken)
        for listener in self._listeners:
            listener.set()

    def _remember(self, grown: Growth) -> None:
        if grown.rewritten:
            self._rooms.pop(grown.log, None)
            return
        known = self._rooms.get(grown.log)
        if known is not None and not grown.frames and grown.head > known.head:
            del self._rooms[grown.log]  # another process wrote: memory no longer reaches the head
            return
        for seq, frame in grown.frames:
            tail = self._rooms.get(grown.log)
            if tail is None:
                tail = self._rooms[grown.log] = RoomTail(seq)
            tail.add(seq, frame)

    def _wake(self, waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters[:_WAKE_CHUNK]:
            if not waiter.done():
                waiter.set_result(None)
        if len(waiters) > _WAKE_CHUNK:
            asyncio.get_running_loop().call_soon(self._wake, waiters[_WAKE_CHUNK:])

    def frames(self, log: int, after: int, limit: int) -> list[bytes] | None:
        """Newest frames after `after`, from memory; None when they must be read from the store."""
        tail = self._rooms.get(log)
        return None if tail is None or after > tail.head else tail.after(after, limit)

    def signal(self, log: int, frame: bytes) -> None:
        """Show `frame` to who streams `log` now. Not in the log: whoever is late or away never sees it."""
        self.stamp += 1
        kept = self._signals.setdefault(log, deque(maxlen=_SIGNALS_KEPT))
        kept.append((self.stamp, frame))
        self._signals.move_to_end(log)
        if len(self._signals) > _SIGNALS_KEPT:
            self._signals.popitem(last=False)
        self._grown[SIGNALS + log] = self.stamp
        self._wake(list(self._waiters.pop(SIGNALS + log, ())))

    def signals(self, log: int, after: int) -> list[tuple[int, bytes]]:
        """Signals of `log` given after stamp `after`, each with its own stamp."""
        return [kept for kept in self._signals.get(log, ()) if kept[0] > after]

    def grown_since(self, topics: Iterable[int], stamp: int) -> list[int]:
        """Topics that have grown after `stamp`."""
        return [topic for topic in topics if self._grown.get(topic, 0) > stamp]

    def topics_since(self, stamp: int) -> list[int]:
        """All streams and agents' topics that have grown after `stamp`; not those of signals."""
        return [topic for topic, grown in self._grown.items() if stamp < grown and topic < SIGNALS]

    async def wait(self, topics: Sequence[int], since: int, timeout_s: float) -> bool:
        """Wait until one of `topics` grows after stamp `since`; false when time ran out first."""
        if self.grown_since(topics, since):
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for topic in topics:
            self._waiters.setdefault(topic, set()).add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._leave(topics, waiter)
        return True

    def waiting(self) -> int:
        """How many readers wait now."""
        return len(set().union(*self._waiters.values())) if self._waiters else 0

    def poke(self, topic: int) -> None:
        """Let whoever waits on `topic` look again."""
        self.on_growth([Growth(topic, 0)])

    def wake_all(self) -> None:
        """Let everyone who waits look again: the hub is stopping."""
        self.stamp += 1
        for topic in self._waiters:
            self._grown[topic] = self.stamp
        self._wake([waiter for waiters in self._waiters.values() for waiter in waiters])

    def _leave(self, topics: Sequence[int], waiter: asyncio.Future[None]) -> None:
        for topic in topics:
            if waiters := self._waiters.get(topic):
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[topic]

    def listen(self, event: asyncio.Event) -> None:
        """Set `event` at every growth of any stream, for consumers of the whole hub."""
        self._listeners.append(event)

    def unlisten(self, event: asyncio.Event) -> None:
        self._listeners.remove(event)
