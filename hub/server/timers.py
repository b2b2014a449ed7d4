"""The hub's clockwork: runs housekeeping as long as the hub does. Everything it does survives a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache, partial
from itertools import count
from typing import TYPE_CHECKING, Final, LiteralString

from hub import features
from hub.core.call import Call
from hub.core.errors import HubError
from hub.features.search.cleaning import clean
from hub.kernel import housekeeping
from hub.kernel.files.collect import forget_unneeded, sweep, sweep_left_over
from hub.log.chore import Chore
from hub.server.beats import seconds_to_beat
from hub.storage.blobs import BlobStore
from hub.storage.interface import Tx
from hub.storage.search import SearchIndex

if TYPE_CHECKING:
    from hub.app import HubApp

log = logging.getLogger(__name__)
TICK_S: Final = 0.5
FASTEST: Final = 1.1  # the hub's clock against the loop's
LATE_S: Final = 0.01  # a timer may fire a little early
NEVER: Final = 1 << 62
CLEAN_S: Final = 10.0  # between cleanings of the search index
COLLECT_S: Final = 60.0  # between collections of bytes nobody needs
SWEEP_EVERY: Final = 60  # collections between two looks through the whole directory


class Clockwork:
    """Chores, each run as often as it says. `run_due` is what tests call.

    Where nobody else writes to the store, it rests until something was written or a chore has something to do.
    """

    def __init__(self, hub: HubApp) -> None:
        self._hub = hub
        tables, by_event = features.projection_tables(), features.event_tables()
        self.chores: Sequence[Chore] = (
            Chore(0.5, housekeeping.expire_messages, housekeeping.FIRST_EXPIRED),
            Chore(0.5, housekeeping.redeliver, housekeeping.FIRST_REDELIVERED),
            Chore(60, housekeeping.forget_keys),
            Chore(30, partial(housekeeping.trim_rooms, tables=tables, by_event=by_event)),
            Chore(30, self._save_presence),
            *features.chores(),
        )
        self._last: dict[int, int] = {}
        self._turn = asyncio.Lock()
        self._changes = 0  # of the store when it last looked
        self._first_due: dict[int, int] = {}  # of chores that say it, as the rows were then (ms); else not known
        self._rows_due_ms = self._regular_due_ms = 0  # when the first of these, and of the others, is to run

    async def run_due(self) -> None:
        """Run every chore whose time has come, until none has more to do."""
        if self._rests():
            return
        async with self._turn:  # who asks while it runs comes back when that is done too
            changes = self._hub.store.changes
            due = self._due(self._hub.dispatch.clock())
            self._first_due, self._rows_due_ms = {}, 0
            self._changes = changes.count if changes else 0
            await self._run_all(due)
            if changes:
                self._first_due = await self._hub.store.read(self._look)
                self._rows_due_ms = self._next(self._first_due)
                self._regular_due_ms = self._next(dict.fromkeys(self._last.keys() - self._first_due.keys(), 0))

    async def pause(self) -> None:
        """Until `run_due` may have something to do; long only while it rests."""
        changes, now_ms = self._hub.store.changes, self._hub.dispatch.clock()
        regular_s = seconds_to_beat((self._regular_due_ms - now_ms) / 1000)
        left_s = min((self._rows_due_ms - now_ms) / 1000 / FASTEST, regular_s + LATE_S)
        if changes is None or left_s <= TICK_S or await changes.beyond(self._changes, left_s):
            await asyncio.sleep(TICK_S)

    def _rests(self) -> bool:
        """Whether nothing was written since it ran and its time has not come."""
        now_ms = self._hub.dispatch.clock()
        return not self._written() and now_ms < self._rows_due_ms and now_ms < self._regular_due_ms

    def _written(self) -> bool:
        """Whether rows may have changed since it looked."""
        changes = self._hub.store.changes
        return changes is None or changes.count > self._changes

    def _look(self, tx: Tx) -> dict[int, int]:
        """When each chore that can say it will find something to do, as the rows are."""
        asked = {number: chore.first_due for number, chore in enumerate(self.chores) if chore.first_due is not None}
        row = tx.row(_at_once(tuple(asked.values())))
        assert row is not None, "a value for each"
        return {number: NEVER if row[at] is None else row[at] for at, number in enumerate(asked)}

    def _next(self, first_due: Mapping[int, int]) -> int:
        """When the first of these chores is to run: when it finds something, and no more often than it should."""
        return min(max(due_ms, self._again(number)) for number, due_ms in first_due.items())

    def _again(self, number: int) -> int:
        """When a chore may run again."""
        return self._last.get(number, 0) + int(self.chores[number].every_s * 1000)

    async def _run_all(self, due: Sequence[Chore]) -> None:
        # side by side: on SQLite they share one transaction, a tenth of what an idle hub costs otherwise
        ended = await asyncio.gather(*map(self._run, due), return_exceptions=True)
        if failures := [one for one in ended if one is not None]:
            for other in failures[1:]:
                log.error("another chore failed too", exc_info=other)
            raise failures[0]

    def _due(self, now_ms: int) -> list[Chore]:
        first_due = {} if self._written() else self._first_due
        due = []
        for number, chore in enumerate(self.chores):
            if now_ms >= max(self._again(number), first_due.get(number, 0)):
                self._last[number] = now_ms
                due.append(chore)
        return due

    async def _run(self, chore: Chore) -> None:
        more = True
        while more:
            call = self._hub.system_call()
            more = await self._hub.store.write(lambda tx, call=call: chore.body(tx, call))  # type: ignore[misc]

    def _save_presence(self, tx: Tx, call: Call) -> bool:
        housekeeping.save_presence(tx, self._hub.dispatch.presence.take_dirty())
        return False


@lru_cache
def _at_once(queries: tuple[LiteralString, ...]) -> LiteralString:
    """One query for the values of these."""
    return "select " + ", ".join(f"({query}) as due{number}" for number, query in enumerate(queries))


@asynccontextmanager
async def ticking(hub: HubApp) -> AsyncIterator[None]:
    """Run the clockwork beside the hub."""
    clockwork = Clockwork(hub)
    hub.dispatch.provide(clockwork)

    async def tick() -> None:
        while True:
            try:
                await clockwork.run_due()
            except HubError as error:
                log.warning("housekeeping will be tried again: %s", error.detail)
            except Exception:  # one chore's bug must not end all the others
                log.exception("housekeeping failed and will be tried again")
            await clockwork.pause()

    tasks = [asyncio.create_task(work) for work in (tick(), _clean_index(hub), _collect_files(hub))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _clean_index(hub: HubApp) -> None:
    """Take blanked texts out of the search index and the store's files: at the start whatever a crash left."""
    index, tails, changes, scrubbed = hub.dispatch.service(SearchIndex), hub.dispatch.tails, hub.store.changes, True
    tails.rewritten.update(await asyncio.to_thread(index.streams))
    while True:
        streams = tuple(tails.rewritten)
        tails.rewritten.clear()
        for stream in streams:
            try:
                await clean(hub.store, index, stream)
            except Exception:
                tails.rewritten.add(stream)
                log.exception("cleaning the search index failed and will be tried again")
        if streams or not scrubbed:
            scrubbed = await hub.store.scrub()
        if changes is not None and scrubbed and not tails.rewritten:
            await changes.beyond(changes.count)
        await asyncio.sleep(CLEAN_S)


async def _collect_files(hub: HubApp) -> None:
    """Remove bytes nothing names: at the start whatever a crash left, then what becomes free."""
    blobs = hub.dispatch.service(BlobStore)
    for turn in count():
        try:
            await forget_unneeded(hub.store, blobs, hub.system_call().now_ms)
            if turn == 0 and not hub.store.locking:
                await sweep_left_over(hub.store, blobs)
            elif turn % SWEEP_EVERY == 0:
                await sweep(hub.store, blobs)
        except Exception:
            log.exception("collecting files failed and will be tried again")
        await asyncio.sleep(COLLECT_S)
