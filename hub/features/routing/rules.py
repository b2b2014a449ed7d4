"""What a room's rules make of a message. Pure: the same function serves live messages and dry runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import orjson

from hub.core.errors import Conflict, Forbidden, NotFound
from hub.features.routing import contract as c
from hub.features.routing.patterns import MISSING, at_path, compiled, found

MOST_RULES: Final = 50
MOST_PASSES: Final = 8  # how many copies deep a message may travel


class RuleNotFound(NotFound):
    code, title = "rule-not-found", "Rule not found"


class TooManyRules(Conflict):
    code, title = "too-many-rules", "Too many rules"


class RoutingLoop(Conflict):
    code, title = "routing-loop", "These rules would send messages in a circle"


class RoutingDenied(Forbidden):
    code, title = "routing-denied", "A rule of the room refuses this message"


class DuplicateMessage(Conflict):
    code, title = "duplicate-message", "This message was there already"


@dataclass(frozen=True, slots=True)
class Rule:
    """A stored rule. `id` is the number of its event; 0 in a dry run of proposed rules."""

    id: int
    spec: c.RuleSpec
    author: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules look at. `passed` are ids (stream, rule) of rules that copied the message here."""

    sender: str
    sender_kind: str
    role: str | None
    channel: str
    kind: str
    intent: str
    priority: str
    text: str
    metadata: dict[str, Any]
    passed: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Sending:
    """A move or copy that is still to be done."""

    rule: Rule
    action: c.Move | c.Copy


@dataclass(slots=True)
class Verdict:
    """What becomes of the message."""

    priority: str
    channel: str
    matched: list[Rule] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    sendings: list[Sending] = field(default_factory=list)
    denied_by: Rule | None = None
    reason: str = ""
    duplicate: bool = False


Seen = Callable[[Rule, str, int], bool]
"""Whether this rule saw the key within so many milliseconds; it has seen it then."""


def in_order(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(sorted(rules, key=lambda rule: (rule.spec.order, rule.id)))


def check(spec: c.RuleSpec) -> None:
    """Raises BadExpression for an expression that RE2 does not take."""
    if spec.when.text is not None:
        compiled(spec.when.text)


def evaluate(log: int, rules: Sequence[Rule], facts: Facts, seen: Seen) -> Verdict:
    """Ask the rules in order; later ones see what earlier ones changed. A copy is not asked again by who sent it."""
    verdict = Verdict(priority=facts.priority, channel=facts.channel)
    for rule in rules:
        if (log, rule.id) in facts.passed or not fits(rule.spec.when, facts, verdict):
            continue
        verdict.matched.append(rule)
        if _over(rule, facts, verdict, seen) or rule.spec.stop:
            break
    return verdict


def _over(rule: Rule, facts: Facts, verdict: Verdict, seen: Seen) -> bool:
    """Do what the rule says; whether that ends it all."""
    for action in rule.spec.then:
        if isinstance(action, c.Allow):
            return True
        if isinstance(action, c.Deny):
            verdict.denied_by, verdict.reason = rule, action.reason
            return True
        if isinstance(action, c.Deduplicate):
            key = _key(action, facts)
            if key is not None and seen(rule, key, action.window_s * 1000):
                verdict.denied_by, verdict.duplicate = rule, True
                verdict.reason = f"the same was sent within {action.window_s} s"
                return True
        else:
            _change(rule, action, verdict)
    return False


def _change(rule: Rule, action: c.Tag | c.SetPriority | c.Address | c.Move | c.Copy, verdict: Verdict) -> None:
    if isinstance(action, c.Tag):
        verdict.tags += [action.tag] if action.tag not in verdict.tags else []
    elif isinstance(action, c.SetPriority):
        verdict.priority = action.priority
    elif isinstance(action, c.Address):
        verdict.to += [action.agent] if action.agent not in verdict.to else []
    elif isinstance(action, c.Move) and action.room is None and action.channel is not None:
        verdict.channel = action.channel
    else:
        verdict.sendings.append(Sending(rule, action))


def _key(action: c.Deduplicate, facts: Facts) -> str | None:
    """What must not come twice; None where the message has nothing at the path."""
    value = facts.text if action.by == "text" else at_path(facts.metadata, action.by)
    if value is MISSING:
        return None
    return sha256(orjson.dumps([action.by, value], option=orjson.OPT_SORT_KEYS)).hexdigest()


def fits(when: c.When, facts: Facts, verdict: Verdict) -> bool:
    """Whether the message, as the rules before have left it, is what the rule is about. Cheap tests first."""
    pairs = (
        (when.kind, facts.kind),
        (when.intent, facts.intent),
        (when.priority, verdict.priority),
        (when.channel, verdict.channel),
        (when.sender, facts.sender),
        (when.sender_kind, facts.sender_kind),
        (when.role, facts.role),
    )
    if any(wanted and value not in wanted for wanted, value in pairs):
        return False
    if any(at_path(facts.metadata, path) is MISSING for path in when.has):
        return False
    if any(not _equal(at_path(facts.metadata, path), value) for path, value in when.metadata.items()):
        return False
    return when.text is None or found(when.text, facts.text)


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1."""
    return left is not MISSING and left == right and isinstance(left, bool) == isinstance(right, bool)


def sending_rooms(spec: c.RuleSpec, here: str) -> set[str]:
    """Rooms that a rule copies or moves messages to."""
    sent = [action for action in spec.then if isinstance(action, c.Move | c.Copy)]
    return {action.room or here for action in sent if action.queue is None} - {
        here for action in sent if isinstance(action, c.Move) and action.room is None
    }


def circle(start: str, spec: c.RuleSpec, rooms_after: Callable[[str], set[str]]) -> list[str] | None:
    """The way back to `start` that this rule would open, as room names, if there is one through other rooms."""
    waiting = [[start, room] for room in sorted(sending_rooms(spec, start)) if room != start]
    known: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path[-1] == start:
            return path
        if path[-1] not in known and len(path) <= 32:
            known.add(path[-1])
            waiting += [[*path, room] for room in sorted(rooms_after(path[-1]))]
    return None
