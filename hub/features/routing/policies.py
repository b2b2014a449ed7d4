"""Rules at work: every message passes its room's rules before it is appended."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import orjson

from hub.core.call import Call
from hub.features.routing import contract as c
from hub.features.routing.project import load_rules
from hub.features.routing.rules import (
    MOST_PASSES,
    DuplicateMessage,
    Facts,
    RoutingDenied,
    Rule,
    Verdict,
    evaluate,
)
from hub.kernel.agents.project import find_agent
from hub.kernel.messages.draft import Draft, before_append
from hub.kernel.rooms.project import Entered, load_member, need_channel
from hub.log.handler import leaves
from hub.log.log import find_stream, load_stream
from hub.storage.interface import Tx

ROUTING_ORDER: Final = 10  # before the loop guard: what is refused here costs no budget
PASSED: Final = "routed"  # in metadata of copies; only the hub's own word counts


@before_append(ROUTING_ORDER)
def apply_rules(tx: Tx, call: Call, entered: Entered, draft: Draft) -> Draft:
    """Refuse, tag, re-rank, re-address or move the message, and note what is to be copied."""
    if entered.room.direct or not (rules := load_rules(tx, entered.log)):
        return draft
    facts = _facts(call, entered, draft)
    verdict = evaluate(
        entered.log, rules, facts, lambda rule, key, window: _seen(tx, call, entered.log, rule, key, window)
    )
    if verdict.denied_by is not None:
        raise _refusal(call, entered.log, verdict)
    for rule in verdict.matched:
        count_hit(tx, entered.log, rule.id, call.now_ms)
    _send_later(tx, call, entered, verdict, facts)
    return _changed(tx, entered, draft, verdict)


def _facts(call: Call, entered: Entered, draft: Draft) -> Facts:
    passed = draft.metadata.get(PASSED, {}).get("passed", ()) if call.agent == 0 else ()
    return Facts(
        sender=call.principal.name,
        sender_kind=call.principal.kind,
        role=entered.member.role,
        channel=draft.channel,
        kind=draft.kind,
        intent=draft.intent,
        priority=draft.priority,
        text=draft.text,
        metadata=draft.metadata,
        passed=tuple((log, rule) for log, rule in passed),
    )


def _seen(tx: Tx, call: Call, log: int, rule: Rule, key: str, window_ms: int) -> bool:
    """Whether the key is known and its time not over; it is known from now on, as long as the message is kept."""
    place = {"log": log, "rule": rule.id, "hash": key}
    row = tx.row("select until from routing_seen where log = :log and rule = :rule and hash = :hash", **place)
    if row is not None and call.now_ms < row[0]:
        return True
    tx.run(
        "insert into routing_seen (log, rule, hash, until) values (:log, :rule, :hash, :until)"
        " on conflict (log, rule, hash) do update set until = excluded.until",
        until=call.now_ms + window_ms,
        **place,
    )
    return False


def _refusal(call: Call, log: int, verdict: Verdict) -> RoutingDenied | DuplicateMessage:
    rule = verdict.denied_by
    assert rule is not None
    ids, now_ms = [matched.id for matched in verdict.matched], call.now_ms

    def count(tx: Tx) -> None:
        for number in ids:
            count_hit(tx, log, number, now_ms)

    if verdict.duplicate:
        return leaves(count, DuplicateMessage(f"rule {rule.spec.name!r}: {verdict.reason}; it is in the room already"))
    why = verdict.reason or "messages like this one are not wanted here"
    return leaves(count, RoutingDenied(f"rule {rule.spec.name!r} of this room refuses the message: {why}"))


def count_hit(tx: Tx, log: int, rule: int, now_ms: int) -> None:
    tx.run(
        "insert into routing_hit (log, rule, hits, last_at, failures) values (:log, :rule, 1, :now, 0)"
        " on conflict (log, rule) do update set hits = routing_hit.hits + 1, last_at = excluded.last_at",
        log=log,
        rule=rule,
        now=now_ms,
    )


def _changed(tx: Tx, entered: Entered, draft: Draft, verdict: Verdict) -> Draft:
    if verdict.channel != draft.channel:
        need_channel(tx, entered.log, verdict.channel)
    known = {name for name, _ in draft.to}
    more = [(name, find_agent(tx, name)) for name in verdict.to if name not in known]
    here = [(name, agent) for name, agent in more if agent is not None and load_member(tx, entered.log, agent)]
    return replace(
        draft,
        channel=verdict.channel,
        priority=verdict.priority,  # type: ignore[arg-type]
        tags=(*draft.tags, *(tag for tag in verdict.tags if tag not in draft.tags)),
        to=(*draft.to, *here),
    )


def _send_later(tx: Tx, call: Call, entered: Entered, verdict: Verdict, facts: Facts) -> None:
    """Note moves and copies in the message's own transaction: they happen exactly when it is kept."""
    if not verdict.sendings or len(facts.passed) >= MOST_PASSES:
        return
    seq = load_stream(tx, entered.log).head + 1  # the message is appended next, under this lock
    for number, sending in enumerate(verdict.sendings):
        passed = [*facts.passed, (entered.log, sending.rule.id)]
        action = sending.action
        row = (
            entered.log,
            seq,
            sending.rule.id,
            number,
            sending.rule.author,
            target_of(tx, entered, action),
            action.model_dump_json(exclude_defaults=True),
            orjson.dumps(passed).decode(),
            0,
            call.now_ms,
        )
        tx.stage("routing_outbox", row)


def target_of(tx: Tx, entered: Entered, action: c.Move | c.Copy) -> int:
    """The stream that the message goes to; 0 when there is none (any more)."""
    if action.queue is not None:
        return find_stream(tx, "queue", action.queue) or 0
    return entered.log if action.room is None else find_stream(tx, "room", action.room) or 0
