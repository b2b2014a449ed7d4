"""The hub's clockwork: runs housekeeping as long as the hub does. Everything it does survives a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from hub import features
from hub.core.call import Call
from hub.core.errors import HubError
from hub.features.search.cleaning import clean
from hub.kernel import housekeeping
from hub.kernel.files.collect import forget_unneeded, sweep, sweep_left_over
from hub.storage.blobs import BlobStore
from hub.storage.interface import Tx
from hub.storage.search import SearchIndex

if TYPE_CHECKING:
    from hub.app import HubApp

log = logging.getLogger(__name__)
Chore = Callable[[Tx, Call], bool]
TICK_S: Final = 0.5
CLEAN_S: Final = 10.0  # between cleanings of the search index
COLLECT_S: Final = 60.0  # between collections of bytes nobody needs
SWEEP_EVERY: Final = 60  # collections between two looks through the whole directory


class Clockwork:
    """Chores with how often each is due, in seconds. `run_due` is what tests call."""

    def __init__(self, hub: HubApp) -> None:
        self._hub = hub
        tables, by_event = features.projection_tables(), features.event_tables()
        self.chores: list[tuple[float, Chore]] = [
            (0.5, housekeeping.expire_messages),
            (0.5, housekeeping.redeliver),
            (60, housekeeping.forget_keys),
            (30, partial(housekeeping.trim_rooms, tables=tables, by_event=by_event)),
            (15, self._save_presence),
            *features.chores(),
        ]
        self._last: dict[int, int] = {}
        self._turn = asyncio.Lock()

    async def run_due(self) -> None:
        """Run every chore whose time has come, until none has more to do."""
        async with self._turn:  # who asks while it runs comes back when that is done too
            await self._run_all_due()

    async def _run_all_due(self) -> None:
        due = self._due(self._hub.system_call().now_ms)
        # side by side: on SQLite they share one transaction, a tenth of what an idle hub costs otherwise
        ended = await asyncio.gather(*map(self._run, due), return_exceptions=True)
        if failures := [one for one in ended if one is not None]:
            for other in failures[1:]:
                log.error("another chore failed too", exc_info=other)
            raise failures[0]

    def _due(self, now_ms: int) -> list[Chore]:
        due = []
        for number, (every_s, chore) in enumerate(self.chores):
            if now_ms - self._last.get(number, 0) >= every_s * 1000:
                self._last[number] = now_ms
                due.append(chore)
        return due

    async def _run(self, chore: Chore) -> None:
        more = True
        while more:
            call = self._hub.system_call()
            more = await self._hub.store.write(lambda tx, call=call: chore(tx, call))  # type: ignore[misc]

    def _save_presence(self, tx: Tx, call: Call) -> bool:
        housekeeping.save_presence(tx, self._hub.dispatch.presence.take_dirty())
        return False


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
            await asyncio.sleep(TICK_S)

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
    index, tails, scrubbed = hub.dispatch.service(SearchIndex), hub.dispatch.tails, True
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
