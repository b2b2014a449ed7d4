"""The items of a batch in one transaction, and what is remembered of them under the batch's key (P3).

One record serves all items, which are named by their places: a row per item costs a fifth of a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import orjson

from hub.core.call import Call
from hub.core.errors import KeyReused
from hub.core.operation import AnyOperation, Result
from hub.log.handler import HANDLERS
from hub.log.idempotency import Kept, digest, find_kept, forget, pointer_of, remember, repeated
from hub.storage.interface import Tx

_NAME: Final = "batch"  # stands where the operation's name stands otherwise


class Item(NamedTuple):
    """One operation of a batch at its place. By its hash it is known again."""

    place: int
    operation: AnyOperation
    request: Any
    hash: str


def hash_of(asked: Any) -> str:
    """128 bits of what an item asks for, as JSON: enough to tell what one caller put at one place."""
    return digest(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hex()[:32]


Known = Mapping[int, list[Any]]
"""By place: the hash of the item, then where its event is (log, seq), or its result."""


def run_items(call: Call, items: Sequence[Item], key: str | None, tx: Tx) -> list[Result | Exception]:
    """What each item gave, or was refused with; of one that was stored under the key before, what it gave then."""
    known = None if key is None else _recall(tx, call, key)
    ended = tx.each(partial(_run, call) if known is None else partial(_run_again, call, known), items)
    if key is not None:
        results = [(item, one) for item, one in zip(items, ended, strict=True) if not isinstance(one, Exception)]
        _record(tx, call, key, known, results)
    return ended


def _run(call: Call, tx: Tx, item: Item) -> Result:
    result: Result = HANDLERS[type(item.request)](tx, call, item.request)
    return result


def _run_again(call: Call, known: Known, tx: Tx, item: Item) -> Result:
    if item.place not in known:
        return _run(call, tx, item)
    hashed, *rest = known[item.place]
    if hashed != item.hash:
        raise KeyReused(f"item {item.place} of the batch was another one the first time; use a new key for a new batch")
    log, seq = rest if len(rest) == 2 else (None, None)
    return repeated(tx, call, item.operation, Kept(b"", call.now_ms, log, seq, None if log else rest[0].encode()))


def _recall(tx: Tx, call: Call, key: str) -> Known | None:
    """What earlier calls with this key left; None when there was none."""
    found = find_kept(tx, call, _NAME, key, sure=True)
    return None if found is None else {place: rest for place, *rest in orjson.loads(found.response or b"[]")}


def _record(tx: Tx, call: Call, key: str, known: Known | None, results: Iterable[tuple[Item, Result]]) -> None:
    """Remember the results of items beside those that are known."""
    before = known or {}
    added = {item.place: [item.hash, *_kept(item, one)] for item, one in results if item.place not in before}
    if not added:
        return
    if before:
        forget(tx, call, _NAME, key)
    response = orjson.dumps([[place, *rest] for place, rest in {**before, **added}.items()])
    remember(tx, call, _NAME, key, Kept(b"", call.now_ms, None, None, response))


def _kept(item: Item, result: Result) -> tuple[Any, ...]:
    return pointer_of(item.operation, result) or (result.to_keep().decode(),)
