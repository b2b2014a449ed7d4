"""What keeps one stream's reader fed: at once where memory has what it needs, by a task where something must be asked.

A reader at the head of its rooms gets new events straight from the call that says they are there, without waking a
task: encoded once for everybody at that place, one write each. Everything else is the task's: catching up from the
store, access that may have changed, gaps, a socket that is full.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from hub.core.access import Principal
from hub.log.log import HUB
from hub.server.beats import Beat, beats_of
from hub.server.subscription import Batch, Subscription

if TYPE_CHECKING:
    from hub.app import HubApp

_LOOK_S: Final = 200  # the hub's clock may go a tenth faster than the loop's


class Outlet(Protocol):
    """Where a reader's batches go: a socket or a response."""

    def write_now(self, batch: Batch) -> bool:
        """Write the whole batch at once; false, and nothing written, when the reader would have to be waited for."""
        ...

    async def write(self, batch: Batch) -> None:
        """Write the whole batch, waiting for the reader to take it."""
        ...

    def still_here_now(self) -> bool:
        """Let the reader know at once that the connection lives; false when the reader would have to be waited for."""
        ...

    async def still_here(self) -> None:
        """Let the reader know that the connection lives."""
        ...


class Allowance:
    """Notices that agents, tokens or memberships changed, so that an open connection asks whether it still may."""

    def __init__(self, hub: HubApp, principal: Principal) -> None:
        self._hub = hub
        self._topics = (-principal.agent, HUB)
        self._looked = 0
        self.principal = principal

    def due(self) -> bool:
        """Whether `renew` should be called: at the start, and after every change, however busy the rooms are."""
        return self._hub.dispatch.tails.has_grown(self._topics, self._looked)

    async def renew(self) -> None:
        """Raises Unauthorized when the token was revoked or has expired."""
        self._looked = self._hub.dispatch.tails.stamp
        self.principal = await self._hub.authenticator.still(self.principal)

    def lasts_s(self) -> float:
        """In how long to `renew` even if nothing changes: its token may have expired then."""
        return self._hub.authenticator.lasts_s(self.principal)


class Bell:
    """Wakes the one who waits for it; a ring that nobody waited for is not lost."""

    __slots__ = ("_loop", "_rung", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether somebody waits and was not woken yet."""
        return self._waiter is not None and not self._waiter.done()

    def ring(self) -> None:
        self._rung = True
        self._wake()

    def mute(self) -> None:
        """Forget rings until now."""
        self._rung = False

    async def wait(self) -> None:
        """Until it rings or has rung."""
        if self._rung:
            return
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Pump:
    """Sends what a subscription has to an outlet, in order, each event once, as long as its principal may read it."""

    def __init__(self, hub: HubApp, allowance: Allowance, subscription: Subscription, outlet: Outlet) -> None:
        self._allowance = allowance
        self._subscription = subscription
        self._outlet = outlet
        self._tails = hub.dispatch.tails
        self._draining = hub.dispatch.draining
        self._bell = Bell()
        self._beats = beats_of(asyncio.get_running_loop())
        self._followed: frozenset[int] = frozenset()
        self._open = False
        self._heartbeat_s: float | None = None
        self._heartbeat: Beat | None = None
        self._heartbeat_missed = False
        self._expiry: Beat | None = None
        self._expired = False

    def open(self) -> None:
        """Begin to send, or look at once at what the subscription follows now."""
        self._open = True
        self._bell.ring()

    @property
    def waits(self) -> bool:
        """Whether everything that was there is written and its task waits for more."""
        return self._bell.awaited

    # --- at once ----------------------------------------------------------------------------------------------

    def grown(self) -> None:
        """Called when something it follows has grown."""
        if not (self.waits and self._at_once()):
            self._bell.ring()

    def _at_once(self) -> bool:
        """Whether everything that is there was sent without waking the task. Only while the task waits: order."""
        if not self._open or self._draining.is_set() or self._allowance.due():
            return False
        return self._subscription.hand_over(self._outlet.write_now)

    def _await_heartbeat(self) -> None:
        if self._heartbeat_s is not None:
            self._heartbeat = self._beats.call_later(self._heartbeat_s, self._on_heartbeat)

    def _on_heartbeat(self) -> None:
        self._await_heartbeat()
        if not (self.waits and self._outlet.still_here_now()):
            self._heartbeat_missed = True
            self._bell.ring()

    def _await_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        lasts_s = min(self._allowance.lasts_s(), _LOOK_S)
        self._expiry = self._beats.call_later(lasts_s, self._on_expiry)

    def _on_expiry(self) -> None:
        self._expired = True
        self._bell.ring()

    # --- by the task ------------------------------------------------------------------------------------------

    async def run(self, heartbeat_s: float | None) -> None:
        """Until the hub stops. Raises Unauthorized when the principal may no longer read.

        Whether it still may is asked at every change of agents, tokens and memberships, and when its token expires;
        also while events come without a pause. The outlet says every `heartbeat_s` that it is there; None: never.
        """
        self._heartbeat_s = heartbeat_s
        self._await_heartbeat()
        self._await_expiry()
        try:
            while not self._draining.is_set():
                if self._expired:
                    self._expired = False
                    await self._renew()
                if self._heartbeat_missed:
                    self._heartbeat_missed = False
                    await self._outlet.still_here()
                if not await self._send_what_is_there():
                    await self._bell.wait()
        finally:
            for beat in (self._heartbeat, self._expiry):
                if beat is not None:
                    beat.cancel()
            self._tails.unfollow(self._followed, self)

    async def _renew(self) -> None:
        await self._allowance.renew()
        self._await_expiry()

    async def _send_what_is_there(self) -> bool:
        """Send one batch; whether more may be there already. What grows from now on rings the bell."""
        self._bell.mute()
        self._follow()
        if self._allowance.due():
            await self._renew()
            if self._open:
                await self._subscription.refresh()
        if not self._open:
            return False
        self._follow()
        batch = await self._subscription.next()
        if batch:
            await self._outlet.write(batch)
        return batch.more

    def _follow(self) -> None:
        """Be told of what the subscription follows now."""
        topics = frozenset(self._subscription.topics)
        if topics != self._followed:
            self._tails.unfollow(self._followed - topics, self)
            self._tails.follow(topics - self._followed, self)
            self._followed = topics
