"""One reader following several rooms from its own cursor: what SSE and WebSocket share.

Nothing is queued for a slow reader: the next batch is read when the last one was written. Frames come from memory
when the reader is at the head, else from the log by page; both are the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from hub.core.access import Principal
from hub.core.call import Call
from hub.core.cursor import Mark, encode, encode_mark
from hub.core.errors import Invalid, RoomNotFound
from hub.kernel.inbox.contract import Gap
from hub.kernel.inbox.handlers import resume
from hub.kernel.inbox.positions import load_position
from hub.kernel.rooms.project import enter, rooms_of
from hub.log.log import HUB, load_stream, read_events
from hub.log.tail import SIGNALS, Page, moves_members
from hub.server.dispatch import Dispatch
from hub.storage.interface import Tx

T = TypeVar("T")
MOST_ROOMS: Final = 256
PAGE: Final = 500
_LEFT: Final = b'"type":"member.left"'
_NOTHING: Final = Page([], moves_members=False)


@dataclass(slots=True)
class Followed:
    """A room and how far it was read. At stamp `ended`, if ever, nothing was left to read."""

    log: int
    name: str
    epoch: int
    after: int
    signalled: int = 0
    ended: int | None = None

    def read(self, page: Page) -> None:
        """Go on after `page`."""
        self.after += len(page.frames)


@dataclass(slots=True)
class Batch:
    """What to send now. `cursor` resumes after it; it covers every followed room. `signals` are in no log."""

    pages: Sequence[Page] = ()
    gaps: Sequence[Gap] = ()
    signals: Sequence[bytes] = ()
    cursor: str = ""
    shared: bool = False  # one page and the cursor after it: the same for everybody who follows that room alone

    def __bool__(self) -> bool:
        return bool(self.pages or self.gaps or self.signals)

    @property
    def more(self) -> bool:
        """Whether a room may have more at once; else what comes later has grown after this was read."""
        return any(page.moves_members or len(page.frames) >= PAGE for page in self.pages)

    @property
    def frames(self) -> list[bytes]:
        """The events, oldest first within each room."""
        return [frame for page in self.pages for frame in page.frames]

    def shape(self, make: Callable[[Batch], T]) -> T:
        """`make(self)`, made once for all readers that follow this one room and are at the same place of it."""
        if not self.shared:
            return make(self)
        return self.pages[0].shape((make, self.cursor), partial(make, self))

    def parts(self, make: Callable[[Page], T]) -> list[T]:
        """`make` of every page, made once for all readers; where `shape` keeps the whole, its parts are not kept too."""
        if self.shared:
            return [make(page) for page in self.pages]
        return [page.shape(make, partial(make, page)) for page in self.pages]


class Subscription:
    """Follows rooms of one principal. `rooms=None` means all of them, including ones joined later."""

    def __init__(self, dispatch: Dispatch, principal: Principal) -> None:
        self._dispatch = dispatch
        self._principal = principal
        self._rooms: dict[int, Followed] = {}
        self._gaps: list[Gap] = []
        self._all = False

    async def follow(self, rooms: list[str] | None, marks: Mapping[int, Mark], *, later: bool = False) -> list[str]:
        """Start following. A room without a mark starts at the acknowledged position, so nothing is lost.

        Rooms that came `later`, while following all, start with the event of joining.
        """
        self._all = rooms is None
        call = self._dispatch.call(self._principal)
        found = await self._dispatch.store.read(lambda tx: self._start(tx, call, rooms, marks, later=later))
        return [followed.name for followed in found]

    def _start(
        self, tx: Tx, call: Call, rooms: list[str] | None, marks: Mapping[int, Mark], *, later: bool
    ) -> list[Followed]:
        names = rooms if rooms is not None else [load_stream(tx, log).name for log in rooms_of(tx, call.agent)]
        if len(names) > MOST_ROOMS:
            raise Invalid(f"one stream follows at most {MOST_ROOMS} rooms; open another one for the rest")
        made = []
        for name in names:
            entered = enter(tx, call, name)
            if entered.log in self._rooms and entered.log not in marks:
                continue
            stream = load_stream(tx, entered.log)
            start = entered.member.joined_seq - 1 if entered.room.settings.history == "since_join" else 0
            known = entered.member.joined_seq - 1 if later else load_position(tx, call.agent, entered.log).acked
            mark = marks.get(entered.log) or Mark(entered.log, stream.epoch, known)
            after, gap = resume(stream, mark, start)
            if gap:
                self._gaps.append(gap)
            made.append(Followed(entered.log, name, stream.epoch, after, self._dispatch.tails.stamp))
        for followed in made:
            self._rooms[followed.log] = followed
        return made

    def unfollow(self, rooms: list[str]) -> None:
        """Stop following these rooms."""
        self._rooms = {log: f for log, f in self._rooms.items() if f.name not in rooms}

    @property
    def topics(self) -> list[int]:
        """What to wait on: the rooms and their signals, the agent itself (joins), the hub (revocation)."""
        return [*self._rooms, *(SIGNALS + log for log in self._rooms), -self._principal.agent, HUB]

    @property
    def cursor(self) -> str:
        return encode(Mark(f.log, f.epoch, f.after) for f in self._rooms.values())

    def hand_over(self, write: Callable[[Batch], bool]) -> bool:
        """Let `write` have what is there, when memory has all of it and nothing needs to be asked first.

        False when it takes `next`, or when `write` refused; then nothing has moved.
        """
        if self._gaps:
            return False
        tails = self._dispatch.tails
        grown: list[tuple[Followed, Page]] = []
        signalled: list[tuple[Followed, list[tuple[int, bytes]]]] = []
        for followed in self._rooms.values():
            page = self._in_memory(followed)
            if page is None or page.moves_members or len(page.frames) >= PAGE:
                return False
            if page.frames:
                grown.append((followed, page))
            if tails.signalled_since(followed.log, followed.signalled):
                signalled.append((followed, tails.signals(followed.log, followed.signalled)))
        if not grown and not signalled:
            return True
        if not write(self._batch(grown, [frame for _, given in signalled for _, frame in given])):
            return False
        for followed, page in grown:
            followed.read(page)
        for followed, given in signalled:
            followed.signalled = given[-1][0] if given else tails.stamp
        return True

    def _batch(self, grown: list[tuple[Followed, Page]], signals: list[bytes]) -> Batch:
        """The batch of these pages, of which each was read from where its room is."""
        if len(grown) == len(self._rooms) == 1:
            ((followed, page),) = grown
            end = followed.after + len(page.frames)
            return Batch((page,), (), signals, encode_mark(followed.log, followed.epoch, end), not signals)
        ends = {followed.log: followed.after + len(page.frames) for followed, page in grown}
        marks = (Mark(f.log, f.epoch, ends.get(f.log, f.after)) for f in self._rooms.values())
        return Batch([page for _, page in grown], (), signals, encode(marks))

    async def next(self) -> Batch:
        """What is there after the cursor now, maybe nothing; at most a page per room."""
        gaps, self._gaps = self._gaps, []
        pages: list[Page] = []
        signals: list[bytes] = []
        for followed in list(self._rooms.values()):
            stamp = self._dispatch.tails.stamp
            page = await self._page(followed)
            followed.ended = stamp if len(page.frames) < PAGE else None
            if page.moves_members:
                page = await self._allowed(followed, page)
            if page.frames:
                pages.append(page)
                followed.read(page)
            if followed.log in self._rooms:
                signals += self._signals(followed)
        if not (pages or gaps or signals):
            return Batch()
        alone = len(pages) == len(self._rooms) == 1 and not (gaps or signals)
        return Batch(pages, gaps, signals, self.cursor, alone)

    def _signals(self, followed: Followed) -> list[bytes]:
        found = self._dispatch.tails.signals(followed.log, followed.signalled)
        if found:
            followed.signalled = found[-1][0]
        return [frame for _, frame in found]

    def _in_memory(self, followed: Followed) -> Page | None:
        """What is there, when that needs no look into the store."""
        tails = self._dispatch.tails
        page = tails.page(followed.log, followed.after, PAGE)
        if page is None and followed.ended is not None and not tails.has_grown((followed.log,), followed.ended):
            return _NOTHING
        return page

    async def _page(self, followed: Followed) -> Page:
        page = self._in_memory(followed)
        if page is not None:
            return page
        frames = await self._dispatch.store.read(
            lambda tx: [event.frame() for event in read_events(tx, followed.log, followed.after, PAGE)]
        )
        return Page(frames, moves_members=any(map(moves_members, frames)))

    async def _allowed(self, followed: Followed, page: Page) -> Page:
        """Stop at the event with which this reader left the room."""
        call = self._dispatch.call(self._principal)
        try:
            await self._dispatch.store.read(lambda tx: enter(tx, call, followed.name))
        except RoomNotFound:
            self._rooms.pop(followed.log, None)
            mine = f'"agent":{self._principal.agent},'.encode()
            last = next((i for i, f in enumerate(page.frames) if _LEFT in f and mine in f), -1)
            return Page(page.frames[: last + 1], moves_members=True)
        return page

    async def refresh(self) -> None:
        """Pick up rooms joined since, when following all."""
        if self._all:
            await self.follow(None, {}, later=True)
