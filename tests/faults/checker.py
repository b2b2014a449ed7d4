"""Judges a run from outside: client histories against the final log. Imports nothing from the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any


@dataclass
class Attempt:
    """One send a client tried: `ok` when it was acknowledged, else its outcome is unknown."""

    key: str
    text: str
    began: float
    ended: float = 0.0
    ok: bool = False
    seq: int = 0
    id: str = ""


@dataclass
class History:
    """What one run did and saw."""

    attempts: list[Attempt] = field(default_factory=list)
    streams: list[list[int]] = field(default_factory=list)  # numbers each reader was given, in order


def check(history: History, log: Sequence[dict[str, Any]]) -> list[str]:
    """Everything that is wrong, as sentences; empty when the promises held."""
    return [
        *_log_is_sound(log),
        *_acknowledged_are_there(history.attempts, log),
        *_nothing_was_invented(history.attempts, log),
        *_order_is_real_time(history.attempts),
        *(problem for stream in history.streams for problem in _stream_is_contiguous(stream)),
    ]


def _log_is_sound(log: Sequence[dict[str, Any]]) -> Iterable[str]:
    seqs = [event["seq"] for event in log]
    if seqs != list(range(1, len(seqs) + 1)):
        yield f"the log is not numbered 1..{len(seqs)} without gaps"
    times = [event["at"] for event in log]
    if times != sorted(times):
        yield "time in the log goes back"


def _texts(log: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in log:
        if event["type"] == "message.posted":
            found.setdefault(event["data"]["text"], []).append(event["seq"])
    return found


def _acknowledged_are_there(attempts: Sequence[Attempt], log: Sequence[dict[str, Any]]) -> Iterable[str]:
    texts = _texts(log)
    for attempt in attempts:
        seqs = texts.get(attempt.text, [])
        if attempt.ok and seqs != [attempt.seq]:
            yield f"{attempt.key} was acknowledged as #{attempt.seq} but the log has it at {seqs}"
        elif len(seqs) > 1:
            yield f"{attempt.key} stands {len(seqs)} times in the log"


def _nothing_was_invented(attempts: Sequence[Attempt], log: Sequence[dict[str, Any]]) -> Iterable[str]:
    sent = Counter(attempt.text for attempt in attempts)
    for text in _texts(log):
        if text not in sent:
            yield f"the log has a message nobody sent: {text[:50]!r}"


def _order_is_real_time(attempts: Sequence[Attempt]) -> Iterable[str]:
    """If A was acknowledged before B began, A's number is smaller."""
    done = sorted((a for a in attempts if a.ok), key=lambda a: a.ended)
    begun = sorted((a for a in attempts if a.ok), key=lambda a: a.began)
    highest, index = 0, 0
    for attempt in begun:
        while index < len(done) and done[index].ended < attempt.began:
            highest = max(highest, done[index].seq)
            index += 1
        if attempt.seq < highest:
            yield f"{attempt.key} began after #{highest} was acknowledged but got #{attempt.seq}"


def _stream_is_contiguous(stream: Sequence[int]) -> Iterable[str]:
    for before, after in pairwise(stream):
        if after != before + 1:
            yield f"a reader got #{after} after #{before}"
