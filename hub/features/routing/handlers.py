"""One function per operation of routing rules: load, decide, append, return."""

from __future__ import annotations

from collections.abc import Sequence

from hub.core.call import Call
from hub.core.names import make_id, split_id
from hub.core.operation import Done
from hub.core.times import optional_rfc3339
from hub.features.routing import contract as c
from hub.features.routing import rules
from hub.features.routing.project import load_rules
from hub.features.routing.rules import Facts, Rule, Verdict, evaluate, in_order
from hub.features.routing.worker import check_queue
from hub.kernel.messages.contract import Message
from hub.kernel.messages.project import GONE, SELECT, message_row, view
from hub.kernel.rooms.project import Entered, enter, enter_to_write, load_member, need_channel, refuse_direct
from hub.log.handler import handles
from hub.log.log import agent_name, append, find_stream
from hub.storage.interface import Row, Tx


@handles(c.ADD)
def add_rule(tx: Tx, call: Call, request: c.AddRule) -> c.RuleInfo:
    refuse_direct(request.room, "a rule")
    entered = enter_to_write(tx, call, request.room, "owner")
    spec = c.RuleSpec(name=request.name, when=request.when, then=request.then, order=request.order, stop=request.stop)
    rules.check(spec)
    if len(load_rules(tx, entered.log)) >= rules.MOST_RULES:
        raise rules.TooManyRules(f"a room has at most {rules.MOST_RULES} rules; remove one first")
    _check_places(tx, call, entered, spec)
    way = rules.circle(entered.room.name, spec, lambda room: _rooms_after(tx, room))
    if way is not None:
        raise rules.RoutingLoop(f"this rule closes a circle: {' → '.join(way)}; send to a room that does not lead back")
    seq = append(tx, call, entered.log, c.RuleAdded(spec=spec)).seq
    return _info(tx, entered.log, Rule(seq, spec, call.agent))


def _check_places(tx: Tx, call: Call, entered: Entered, spec: c.RuleSpec) -> None:
    """Raises unless its author could send there now; at every delivery it is checked again."""
    for action in spec.then:
        if not isinstance(action, c.Move | c.Copy):
            continue
        if action.queue is not None:
            check_queue(tx, call, action.queue)
            continue
        log = entered.log
        if action.room is not None:
            refuse_direct(action.room, "routing")
            log = enter_to_write(tx, call, action.room).log
        if action.channel is not None:
            need_channel(tx, log, action.channel)


def _rooms_after(tx: Tx, room: str) -> set[str]:
    log = find_stream(tx, "room", room)
    found: set[str] = set()
    for rule in () if log is None else load_rules(tx, log):
        found |= rules.sending_rooms(rule.spec, room)
    return found


@handles(c.LIST)
def list_rules(tx: Tx, call: Call, request: c.ListRules) -> c.RuleInfos:
    log = enter(tx, call, request.room).log
    return c.RuleInfos(items=tuple(_info(tx, log, rule) for rule in load_rules(tx, log)))


def _info(tx: Tx, log: int, rule: Rule) -> c.RuleInfo:
    row = tx.row(
        "select hits, last_at, failures, failure from routing_hit where log = :log and rule = :rule",
        log=log,
        rule=rule.id,
    )
    hits, last_at, failures, failure = (0, None, 0, None) if row is None else (row[0], row[1], row[2], row[3])
    return c.RuleInfo(
        rule=make_id("r", log, rule.id),
        name=rule.spec.name,
        when=rule.spec.when,
        then=rule.spec.then,
        order=rule.spec.order,
        stop=rule.spec.stop,
        by=agent_name(tx, rule.author),
        hits=hits,
        last_hit_at=optional_rfc3339(last_at or None),
        failures=failures,
        last_failure=failure,
    )


@handles(c.REMOVE)
def remove_rule(tx: Tx, call: Call, request: c.RemoveRule) -> Done:
    entered = enter_to_write(tx, call, request.room, "owner")
    log, seq = split_id("r", request.rule, rules.RuleNotFound)
    if log != entered.log or all(rule.id != seq for rule in load_rules(tx, log)):
        raise rules.RuleNotFound(f"rule {request.rule!r} is not one of this room; list its rules")
    append(tx, call, log, c.RuleRemoved(rule=seq))
    return Done()


@handles(c.TEST)
def dry_run(tx: Tx, call: Call, request: c.DryRunRules) -> c.DryRun:
    entered = enter(tx, call, request.room)
    asked = load_rules(tx, entered.log) if request.rules is None else _proposed(request.rules)
    since = entered.member.joined_seq if entered.room.settings.history == "since_join" else 0
    rows = tx.rows(
        SELECT + "where message.log = :log and message.seq > :since and flags & :gone = 0"
        " order by message.seq desc limit :limit",
        log=entered.log,
        since=since,
        gone=GONE,
        limit=request.limit,
    )
    return c.DryRun(items=tuple(_dry(tx, call, entered.log, asked, rows[::-1])))


def _proposed(specs: Sequence[c.RuleSpec]) -> tuple[Rule, ...]:
    for spec in specs:
        rules.check(spec)
    return in_order(Rule(number, spec) for number, spec in enumerate(specs, start=1))


def _dry(tx: Tx, call: Call, log: int, asked: Sequence[Rule], rows: Sequence[Row]) -> list[c.Routed]:
    """Each message through the rules as if it came now, at its own time."""
    repeats, made = _Repeats(), []
    for row in rows:
        message = view(tx, row, call.now_ms)
        passed = message.metadata.get("routed", {}).get("passed", ()) if message_row(row).sender == 0 else ()
        facts = _facts(tx, log, message, message_row(row).sender, tuple((one, two) for one, two in passed))
        repeats.begin(at_ms=row[11])
        verdict = evaluate(log, asked, facts, repeats)
        if verdict.denied_by is None:
            repeats.keep()
        made.append(_routed(message, verdict))
    return made


class _Repeats:
    """What a dry run takes for sent before. A refused message leaves nothing that a later one could repeat."""

    def __init__(self) -> None:
        self._until: dict[tuple[int, str], int] = {}
        self._fresh: dict[tuple[int, str], int] = {}
        self._at_ms = 0

    def begin(self, *, at_ms: int) -> None:
        """The next message, sent at this time."""
        self._fresh, self._at_ms = {}, at_ms

    def __call__(self, rule: Rule, key: str, window_ms: int) -> bool:
        place = (rule.id, key)
        if self._at_ms < self._fresh.get(place, self._until.get(place, 0)):
            return True
        self._fresh[place] = self._at_ms + window_ms
        return False

    def keep(self) -> None:
        """The message passed."""
        self._until |= self._fresh


def _facts(tx: Tx, log: int, message: Message, sender: int, passed: tuple[tuple[int, int], ...]) -> Facts:
    member = load_member(tx, log, sender)
    return Facts(
        sender=message.sender,
        sender_kind=message.from_kind,
        role=member.role if member is not None else None,
        channel=message.channel,
        kind=message.kind,
        intent=message.intent,
        priority=message.priority,
        text=message.text,
        metadata=message.metadata,
        passed=passed,
    )


def _routed(message: Message, verdict: Verdict) -> c.Routed:
    denied = verdict.denied_by
    return c.Routed(
        message=message.id,
        matched=tuple(rule.spec.name for rule in verdict.matched),
        denied_by=None if denied is None else denied.spec.name,
        reason=verdict.reason or None,
        duplicate=verdict.duplicate,
        tags=tuple(verdict.tags),
        priority=verdict.priority,
        channel=verdict.channel,
        to=tuple(verdict.to),
        sent=() if denied is not None else tuple(_where(s.action) for s in verdict.sendings),
    )


def _where(action: c.Move | c.Copy) -> str:
    place = f"queue {action.queue}" if action.queue else f"room {action.room}" if action.room else ""
    channel = f"channel {action.channel}" if action.channel else ""
    return f"{action.do} to {' '.join(part for part in (place, channel) if part)}"
