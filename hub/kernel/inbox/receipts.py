"""Receipts of addressed messages: queued → delivered → seen → answered, or expired (P18)."""

from __future__ import annotations

from typing import Final

from hub.core.call import Call
from hub.core.event import Placed
from hub.core.names import MODEL_KINDS
from hub.storage.interface import Tx

MOST_RECIPIENTS: Final = 50
FIRST_REMINDER_MS: Final = 30_000
LONGEST_REMINDER_MS: Final = 600_000
DEADLINE_MS: Final = 24 * 3600 * 1000


def add_delivery(tx: Tx, call: Call, at: Placed, agent: int, *, needs_ack: bool, ttl_s: int | None) -> None:
    """One row per recipient, fixed at posting."""
    expires_at = call.now_ms + (DEADLINE_MS if ttl_s is None else ttl_s * 1000)
    due_at = call.now_ms + FIRST_REMINDER_MS if needs_ack else None
    tx.stage("delivery", (at.log, at.seq, agent, 1, int(needs_ack), 0, due_at, None, None, None, expires_at, 0))


def next_due(tries: int, now_ms: int) -> int:
    """When a message that needs an acknowledgement is offered again: 30 s × 2, at most 10 min apart."""
    return now_ms + min(FIRST_REMINDER_MS << min(tries, 10), LONGEST_REMINDER_MS)


def mark_seen(tx: Tx, call: Call, log: int, upto: int) -> None:
    """An acknowledgement up to `upto` by an agent with a model is proof; scripts stop at delivered."""
    if call.principal.kind not in MODEL_KINDS and call.principal.kind != "human":
        tx.run(
            "update delivery set delivered_at = coalesce(delivered_at, :now), due_at = null"
            " where agent = :agent and log = :log and seq <= :upto and seen_at is null",
            now=call.now_ms,
            agent=call.agent,
            log=log,
            upto=upto,
        )
        return
    tx.run(
        "update delivery set delivered_at = coalesce(delivered_at, :now), seen_at = :now, due_at = null"
        " where agent = :agent and log = :log and seq <= :upto and seen_at is null and expired = 0",
        now=call.now_ms,
        agent=call.agent,
        log=log,
        upto=upto,
    )


def mark_one_seen(tx: Tx, call: Call, log: int, seq: int) -> None:
    """Proof for exactly one message."""
    tx.run(
        "update delivery set delivered_at = coalesce(delivered_at, :now), seen_at = coalesce(seen_at, :now),"
        " due_at = null where agent = :agent and log = :log and seq = :seq and expired = 0",
        now=call.now_ms,
        agent=call.agent,
        log=log,
        seq=seq,
    )


def mark_proved(tx: Tx, call: Call, log: int, seq: int) -> None:
    """The caller's client proved that its model has exactly this message; a script has no model."""
    if call.principal.kind in MODEL_KINDS or call.principal.kind == "human":
        mark_one_seen(tx, call, log, seq)
    else:
        mark_delivered(tx, call.agent, log, seq - 1, seq, call.now_ms)


def mark_delivered(tx: Tx, agent: int, log: int, after: int, upto: int, now_ms: int) -> None:
    """The messages were handed to a client; that says nothing about its model."""
    tx.run(
        "update delivery set delivered_at = :now where agent = :agent and log = :log and seq > :after and seq <= :upto"
        " and delivered_at is null",
        now=now_ms,
        agent=agent,
        log=log,
        after=after,
        upto=upto,
    )


def mark_answered(tx: Tx, call: Call, log: int, seq: int, answer: int) -> None:
    """A reply is proof that its sender got the message."""
    tx.run(
        "update delivery set answer_seq = coalesce(answer_seq, :answer), seen_at = coalesce(seen_at, :now),"
        " delivered_at = coalesce(delivered_at, :now), due_at = null"
        " where log = :log and seq = :seq and agent = :agent",
        answer=answer,
        now=call.now_ms,
        log=log,
        seq=seq,
        agent=call.agent,
    )
