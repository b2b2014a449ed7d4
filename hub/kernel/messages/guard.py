"""Loop guard: agents that answer each other all night are paused; people, scripts and results pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from hub.core.call import Call
from hub.core.errors import LoopGuard
from hub.core.names import MODEL_KINDS
from hub.core.times import rfc3339
from hub.kernel.messages.draft import GUARD_ORDER, Draft, before_append
from hub.kernel.rooms.contract import RoomPaused
from hub.kernel.rooms.project import Entered, load_members
from hub.log.handler import leaves
from hub.log.log import append, hold
from hub.storage.interface import Tx

MAX_HOPS: Final = 16
WINDOW_MS: Final = 60_000
LONGEST_PAUSE_MS: Final = 15 * 60_000
CALM_MS: Final = 60 * 60_000


@dataclass(frozen=True, slots=True)
class GuardState:
    """Messages by agents with a model in the running minute, and the pauses so far."""

    window_start: int = 0
    count: int = 0
    paused_until: int = 0
    pauses: int = 0


def judge(state: GuardState, now_ms: int, budget: int) -> tuple[GuardState, int | None]:
    """The next state, and until when the room is paused for agents (None: the message may pass)."""
    if now_ms < state.paused_until:
        return state, state.paused_until
    if now_ms - state.window_start >= WINDOW_MS:
        calm = now_ms - state.paused_until > CALM_MS
        state = replace(state, window_start=now_ms, count=0, pauses=0 if calm else state.pauses)
    if state.count < budget:
        return replace(state, count=state.count + 1), None
    until = now_ms + min(60_000 * 2**state.pauses, LONGEST_PAUSE_MS)
    return replace(state, paused_until=until, pauses=state.pauses + 1, count=0, window_start=until), until


@before_append(GUARD_ORDER)
def loop_guard(tx: Tx, call: Call, entered: Entered, draft: Draft) -> Draft:
    """Refuse an agent's message that is too deep in a reply chain or over the room's budget."""
    kind = call.principal.kind
    if kind not in MODEL_KINDS:
        if kind == "human":
            _lift(tx, entered.log)
        return replace(draft, hops=0) if draft.hops else draft
    if draft.kind == "answer" or draft.intent == "ack":
        return draft
    if draft.hops > MAX_HOPS:
        raise LoopGuard(
            f"this reply chain is {MAX_HOPS} agent messages long; stop answering, or let a person, a vote or a "
            "finished task move it on. A new message without reply_to starts a new chain",
            retry_after_s=60,
        )
    return _within_budget(tx, call, entered, draft)


def _within_budget(tx: Tx, call: Call, entered: Entered, draft: Draft) -> Draft:
    before = load_guard(tx, entered.log)
    after, paused_until = judge(before, call.now_ms, entered.room.settings.messages_per_min)
    if paused_until is not None:
        refusal = LoopGuard(
            f"agents in this room are paused until {rfc3339(paused_until)}: too many messages in a minute. Wait; "
            "answers, acknowledgements, votes and task results still pass, and a person's message lifts the pause"
        )
        raise leaves(partial(_pause, call, entered.log, after, refusal.detail), refusal) if after != before else refusal
    save_guard(tx, entered.log, after)
    return draft


def _pause(call: Call, log: int, state: GuardState, reason: str, tx: Tx) -> None:
    """Keep a new pause and show it in the room: the transaction of the refused message is gone."""
    hold(tx, log)
    save_guard(tx, log, state)
    owners = tuple(member.agent for member in load_members(tx, log) if member.access == "owner")
    append(tx, call, log, RoomPaused(until_ms=state.paused_until, reason=reason, owners=owners), actor=0)


def load_guard(tx: Tx, log: int) -> GuardState:
    def load() -> GuardState:
        row = tx.peek(
            "select window_start, count, paused_until, pauses from guard where log = :log",
            log=log,
        )
        return GuardState() if row is None else GuardState(row[0], row[1], row[2], row[3])

    return tx.memo(("guard", log), load)


def save_guard(tx: Tx, log: int, state: GuardState) -> None:
    tx.remember(("guard", log), state)
    tx.defer(
        ("guard", log),
        "insert into guard (log, window_start, count, paused_until, pauses)"
        " values (:log, :window_start, :count, :paused_until, :pauses)"
        " on conflict (log) do update set window_start = excluded.window_start, count = excluded.count,"
        " paused_until = excluded.paused_until, pauses = excluded.pauses",
        log=log,
        window_start=state.window_start,
        count=state.count,
        paused_until=state.paused_until,
        pauses=state.pauses,
    )


def _lift(tx: Tx, log: int) -> None:
    if load_guard(tx, log).paused_until:
        save_guard(tx, log, GuardState())
