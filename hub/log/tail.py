"""Wake-ups and the newest frames: what lets readers at the head follow a stream without touching SQL.

A wake-up carries no data. Losing one costs latency, never a message: a reader always goes back to its cursor.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any, Final, Protocol, TypeVar

from hub.core.event import Event
from hub.storage.interface import Frame, Growth, Tx

T = TypeVar("T")
log = logging.getLogger("hub")
_FRAMES: Final = 2048
_PAGES: Final = 16  # readers of a burst are at a few places at a time, not at one
_BYTES: Final = 4 * 1024 * 1024
SIGNALS: Final = 1 << 61  # plus a stream's id: the topic of its signals
_SIGNALS_KEPT: Final = 64  # per room, and rooms: signals are for who listens now
OWN_TOPICS: Final = 2**60  # from here on topics belong to workers of the hub, not to streams or agents
_WAKE_CHUNK: Final = 32  # waking 1,000 at once stalls the loop for 58 ms; in chunks 4 ms
_TURN_S: Final = 0.002  # readers are served this long at a time; then commits, requests and other sockets have theirs
_TYPE: Final = b'"type":"'
_MOVING: Final = ("member.left", "room.created")
_MOVING_FRAMES: Final = tuple(f'"type":"{kind}"'.encode() for kind in _MOVING)
_HEAD: Final = 200  # a frame's type stands behind its number and the room's name


def moves_members(frame: Frame) -> bool:
    """Whether readers must look again at what they may read from here on."""
    if isinstance(frame, Event):
        return frame.type in _MOVING
    return frame.startswith(_MOVING_FRAMES, frame.find(_TYPE, 0, _HEAD))


def _size_bytes(frame: Frame) -> int:
    """About what it takes in memory."""
    return _HEAD + len(frame.data) if isinstance(frame, Event) else len(frame)


class Reader(Protocol):
    """A live connection that follows topics for as long as it lives, without a task that waits on them."""

    def grown(self) -> None:
        """A followed topic has grown, maybe several, maybe more than once: look again. Must be quick; must not wait."""
        ...


class Ring:
    """The readers of one topic, served one after the other, as often around as the topic grows meanwhile."""

    __slots__ = ("_left", "_line", "_next", "readers")

    def __init__(self) -> None:
        self.readers: dict[Reader, None] = {}
        self._line: list[Reader] = []  # `readers` as they are served; empty when somebody came or went
        self._next = 0
        self._left = 0  # who has to be served, from `_next` on

    def add(self, reader: Reader) -> None:
        self.readers[reader] = None
        self._changed()

    def remove(self, reader: Reader) -> None:
        if reader in self.readers:
            del self.readers[reader]
            self._changed()

    def _changed(self) -> None:
        self._line = []
        self._next = 0
        self._left = len(self.readers) if self._left else 0

    def go_round(self) -> None:
        """Everybody has to be served, beginning where it was left off."""
        self._left = len(self.readers)

    def serve(self, until: float) -> bool:
        """Call readers until nobody is left, or the time `until` has come: then false."""
        while self._left:
            if not self._line:
                self._line = list(self.readers)
            reader = self._line[self._next]
            self._next = (self._next + 1) % len(self._line)
            self._left -= 1
            try:
                reader.grown()
            except Exception:  # its own task looks again later; the other readers must not wait for it
                log.exception("a reader failed when it was told that something has grown")
            if time.perf_counter() >= until:
                return not self._left
        return True


def signal(tx: Tx, log: int, frame: bytes) -> None:
    """After COMMIT: show `frame` to who streams `log` from this hub then. See `Tails.signal`."""
    tx.grew(SIGNALS + log, 0, frame)


class Page:
    """Frames that follow each other, shared by every reader at the same place."""

    __slots__ = ("_shapes", "frames", "moves_members")

    def __init__(self, frames: list[bytes], *, moves_members: bool) -> None:
        self.frames = frames
        self.moves_members = moves_members
        self._shapes: dict[Hashable, Any] = {}

    def shape(self, name: Hashable, make: Callable[[], T]) -> T:
        """What a surface makes of this page, made once for all readers: encoding per reader is what fan-out costs."""
        if name not in self._shapes:
            self._shapes[name] = make()
        made: T = self._shapes[name]
        return made


class RoomTail:
    """The last frames of one stream, contiguous up to `head`. Nobody may ever read them: encoded by who does."""

    __slots__ = ("_ends", "_frames", "_moves", "_pages", "first", "head")

    def __init__(self, first: int) -> None:
        self.first = first
        self.head = first - 1
        self._frames: list[Frame] = []
        self._ends: list[int] = []  # size in bytes of all frames up to each one, since the first that ever came
        self._moves: list[int] = []  # seqs of frames that move members, ascending
        self._pages: dict[tuple[int, int], Page] = {}

    def add(self, numbered: Sequence[tuple[int, Frame]]) -> None:
        """Frames that follow each other; when they do not follow what is here, that goes."""
        if numbered[0][0] != self.head + 1:
            self._frames.clear()
            self._moves.clear()
            self._pages.clear()
            self._ends.clear()
            self.first = numbered[0][0]
        frames = [frame for _, frame in numbered]
        self._frames += frames
        self._moves += [seq for seq, frame in numbered if moves_members(frame)]
        before = self._ends[-1] if self._ends else 0
        self._ends += islice(accumulate(map(_size_bytes, frames), initial=before), 1, None)
        self.head = numbered[-1][0]
        if len(self._frames) > _FRAMES or self._ends[-1] - self._ends[0] > _BYTES:
            self._forget()

    def _forget(self) -> None:
        """Drop the oldest, an eighth of what may stay at once: taking one from the front moves all the others."""
        count = max(len(self._frames) - _FRAMES * 7 // 8, bisect_left(self._ends, self._ends[-1] - _BYTES * 7 // 8))
        del self._frames[:count]
        del self._ends[:count]
        self.first += count
        self._moves = [seq for seq in self._moves if seq >= self.first]

    def after(self, seq: int, limit: int) -> Page | None:
        """Frames after `seq`, at most `limit`; None when memory does not reach back that far."""
        if seq + 1 < self.first:
            return None
        place = (seq, min(self.head, seq + limit))
        page = self._pages.get(place)
        if page is None:
            if len(self._pages) >= _PAGES:
                self._pages.clear()
            page = self._pages[place] = self._cut(*place)
        return page

    def _cut(self, seq: int, last: int) -> Page:
        frames = [self._encoded(at) for at in range(seq + 1 - self.first, last + 1 - self.first)]
        moves = bisect_right(self._moves, last) > bisect_right(self._moves, seq)
        return Page(frames, moves_members=moves)

    def _encoded(self, at: int) -> bytes:
        """The wire bytes of the frame at this place, made once for all its readers."""
        frame = self._frames[at]
        if isinstance(frame, bytes):
            return frame
        made = self._frames[at] = frame.frame()  # the event need not be kept
        return made


class Tails:
    """Growth of all streams of this process: who waits, and the newest frames of those that somebody follows."""

    def __init__(self) -> None:
        self._rooms: dict[int, RoomTail] = {}
        self._waiters: dict[int, set[asyncio.Future[bool]]] = {}
        self._grown: dict[int, int] = {}
        self._rings: dict[int, Ring] = {}
        self._due: dict[Ring, None] = {}
        self._serving = False
        self._listeners: list[asyncio.Event] = []
        self._signals: OrderedDict[int, deque[tuple[int, bytes]]] = OrderedDict()
        self.stamp = 0
        self.rewritten: set[int] = set()  # streams with texts blanked since somebody cleaned copies up

    def on_growth(self, growth: Sequence[Growth]) -> None:
        """Called by the store after each commit, on the loop."""
        self.stamp += 1
        woken: list[asyncio.Future[bool]] = []
        for grown in growth:
            if grown.log >= SIGNALS:
                for _, frame in grown.frames:
                    assert isinstance(frame, bytes), "a signal is no event"
                    self.signal(grown.log - SIGNALS, frame)
                continue
            self._grown[grown.log] = self.stamp
            if grown.rewritten:
                self.rewritten.add(grown.log)
            self._remember(grown)
            woken += self._waiters.pop(grown.log, ())
            self._call(grown.log)
        self._wake(woken)
        for listener in self._listeners:
            listener.set()

    def _remember(self, grown: Growth) -> None:
        if grown.rewritten or grown.log not in self._rings:  # who comes later begins with the store
            self._rooms.pop(grown.log, None)
            return
        known = self._rooms.get(grown.log)
        if known is not None and not grown.frames and grown.head > known.head:
            del self._rooms[grown.log]  # another process wrote: memory no longer reaches the head
            return
        if not grown.frames:
            return
        if known is None:
            known = self._rooms[grown.log] = RoomTail(grown.frames[0][0])
        known.add(grown.frames)

    def _wake(self, waiters: list[asyncio.Future[bool]]) -> None:
        for waiter in waiters[:_WAKE_CHUNK]:
            if not waiter.done():
                waiter.set_result(True)
        if len(waiters) > _WAKE_CHUNK:
            asyncio.get_running_loop().call_soon(self._wake, waiters[_WAKE_CHUNK:])

    def follow(self, topics: Iterable[int], reader: Reader) -> None:
        """Call `reader` in its turn whenever one of `topics` grows, until it unfollows."""
        for topic in topics:
            self._rings.setdefault(topic, Ring()).add(reader)

    def unfollow(self, topics: Iterable[int], reader: Reader) -> None:
        """Call `reader` no more for `topics`."""
        for topic in topics:
            if ring := self._rings.get(topic):
                ring.remove(reader)
                if not ring.readers:
                    del self._rings[topic]

    def _call(self, topic: int) -> None:
        """Give each reader of `topic` a turn; one that still waits for its turn will see everything then."""
        if ring := self._rings.get(topic):
            ring.go_round()
            self._due[ring] = None
            if not self._serving:
                self._serving = True
                loop = asyncio.get_running_loop()
                loop.call_soon(loop.call_soon, self._serve)  # after the next batch of writes is on its way to the disk

    def _serve(self) -> None:
        until = time.perf_counter() + _TURN_S
        while self._due:
            ring = next(iter(self._due))
            del self._due[ring]
            if not ring.serve(until):
                self._due[ring] = None  # behind the others
                break
        if self._due:
            asyncio.get_running_loop().call_soon(self._serve)
        else:
            self._serving = False

    def page(self, log: int, after: int, limit: int) -> Page | None:
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
        self._call(SIGNALS + log)
        self._wake(list(self._waiters.pop(SIGNALS + log, ())))

    def signals(self, log: int, after: int) -> list[tuple[int, bytes]]:
        """Signals of `log` given after stamp `after`, each with its own stamp."""
        return [kept for kept in self._signals.get(log, ()) if kept[0] > after]

    def signalled_since(self, log: int, stamp: int) -> bool:
        """Whether `log` has signals given after `stamp`."""
        return self._grown.get(SIGNALS + log, 0) > stamp

    def grown_since(self, topics: Iterable[int], stamp: int) -> list[int]:
        """Topics that have grown after `stamp`."""
        return [topic for topic in topics if self._grown.get(topic, 0) > stamp]

    def has_grown(self, topics: Iterable[int], stamp: int) -> bool:
        """Whether one of `topics` has grown after `stamp`."""
        grown = self._grown
        return any(grown.get(topic, 0) > stamp for topic in topics)

    def topics_since(self, stamp: int) -> list[int]:
        """All streams and agents' topics that have grown after `stamp`; not those of signals."""
        return [topic for topic, grown in self._grown.items() if stamp < grown and topic < SIGNALS]

    async def wait(self, topics: Sequence[int], since: int, timeout_s: float) -> bool:
        """Wait until one of `topics` grows after stamp `since`; false when time ran out first."""
        if self.grown_since(topics, since):
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        for topic in topics:
            self._waiters.setdefault(topic, set()).add(waiter)
        expiry = loop.call_later(timeout_s, _give_up, waiter)  # a third of the cost of `asyncio.timeout`
        try:
            return await waiter
        finally:
            expiry.cancel()
            self._leave(topics, waiter)

    def watched(self) -> list[int]:
        """Streams and agents' topics that somebody waits on now; not those of signals."""
        return [topic for topic in {**self._waiters, **self._rings} if topic < SIGNALS]

    def waiting(self) -> int:
        """How many readers wait now, for streams or for what concerns an agent; the hub's own workers do not count."""
        following = {topic: ring.readers for topic, ring in self._rings.items()}
        both: tuple[Mapping[int, Iterable[object]], ...] = (self._waiters, following)
        readers = [found for by_topic in both for topic, found in by_topic.items() if abs(topic) < OWN_TOPICS]
        return len(set[object]().union(*readers))

    def poke(self, topic: int) -> None:
        """Let whoever waits on `topic` look again."""
        self.on_growth([Growth(topic, 0)])

    def wake_all(self) -> None:
        """Let everyone who waits look again: the hub is stopping."""
        self.stamp += 1
        for topic in {**self._waiters, **self._rings}:
            self._grown[topic] = self.stamp
            self._call(topic)
        self._wake([waiter for waiters in self._waiters.values() for waiter in waiters])

    def _leave(self, topics: Sequence[int], waiter: asyncio.Future[bool]) -> None:
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


def _give_up(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
