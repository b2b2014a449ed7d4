"""The same key and body give the same result; kept 24 h, written in the transaction of the call itself (P3)."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from hub.core.call import Call
from hub.core.errors import Invalid, KeyReused
from hub.core.operation import AnyOperation, Result
from hub.log.handler import REPLAYS, RESTORES
from hub.storage.interface import Tx

KEPT_MS: Final = 24 * 3600 * 1000


def check_key(key: str) -> None:
    """Raises Invalid unless the key is 1–128 visible ASCII characters."""
    if not 1 <= len(key) <= 128 or not key.isascii() or not key.isprintable() or " " in key:
        raise Invalid("an idempotency key is 1 to 128 visible ASCII characters")


def digest(canonical: bytes) -> bytes:
    return hashlib.sha256(canonical).digest()


class Kept(NamedTuple):
    """What an earlier call left: a pointer to its event where the result follows from that, else the result."""

    hash: bytes
    at_ms: int
    log: int | None
    seq: int | None
    response: bytes | None


def recall(tx: Tx, call: Call, operation: AnyOperation, key: str, hashed: bytes, *, sure: bool) -> Kept | None:
    """What an earlier identical call left, or None. Raises KeyReused for another body under the key.

    When it need not be `sure`, a first None may be wrong; the body that then records its result runs again.
    """
    found = find_kept(tx, call, operation.name, key, sure=sure)
    if found is None:
        return None
    if found.hash != hashed:
        raise KeyReused(f"key {key!r} was used for another {operation.name} call; use a new key for a new request")
    return found


def is_kept(tx: Tx, call: Call, operation: AnyOperation, key: str) -> bool:
    """Whether an earlier call under the key is remembered, whatever it was: then a new one does not do its work."""
    return _load(tx, call, operation.name, key) is not None


def find_kept(tx: Tx, call: Call, name: str, key: str, *, sure: bool) -> Kept | None:
    """What is remembered under the key for the operation of this name, unless it is too old."""
    found = tx.find_rare(_place(call, name, key), lambda: _load(tx, call, name, key), sure=sure)
    if found is not None and found.at_ms < call.now_ms - KEPT_MS:
        forget(tx, call, name, key)
        return None
    return found


def _place(call: Call, name: str, key: str) -> tuple[str, int, str, str]:
    return ("idempotency", call.agent, name, key)


def _load(tx: Tx, call: Call, name: str, key: str) -> Kept | None:
    row = tx.peek(
        "select hash, at, log, seq, response from idempotency where agent = :agent and op = :op and key = :key",
        agent=call.agent,
        op=name,
        key=key,
    )
    if row is None:
        return None
    return Kept(bytes(row[0]), row[1], row[2], row[3], None if row[4] is None else bytes(row[4]))


def forget(tx: Tx, call: Call, name: str, key: str) -> None:
    tx.run(
        "delete from idempotency where agent = :agent and op = :op and key = :key",
        agent=call.agent,
        op=name,
        key=key,
    )


_TABLE: Final = "idempotency (agent, op, key, hash, at, log, seq, response)"


def record(tx: Tx, call: Call, operation: AnyOperation, key: str, hashed: bytes, result: Result) -> None:
    """Remember the result under the key; secrets are left out by the result's own `to_keep`."""
    pointer = pointer_of(operation, result)
    log, seq = pointer or (None, None)
    kept = Kept(hashed, call.now_ms, log, seq, None if pointer else result.to_keep())
    remember(tx, call, operation.name, key, kept)


def pointer_of(operation: AnyOperation, result: Result) -> tuple[int, int] | None:
    """Where the event is from which the result can be made again."""
    return result.pointer() if operation.request in REPLAYS else None


def remember(tx: Tx, call: Call, name: str, key: str, kept: Kept) -> None:
    """Keep it under the key, which must be new."""
    tx.stage(_TABLE, (call.agent, name, key, *kept))
    tx.remember_for_batch(_place(call, name, key), kept)


def repeated(tx: Tx, call: Call, operation: AnyOperation, kept: Kept) -> Result:
    """The result of an earlier identical call."""
    if kept.response is not None and kept.response.startswith(b"["):
        earlier: Result = RESTORES[operation.request](tx, call, kept.response)
    elif kept.response is not None:
        earlier = operation.response.model_validate_json(kept.response)
    else:
        assert kept.log is not None
        assert kept.seq is not None
        earlier = REPLAYS[operation.request](tx, call, kept.log, kept.seq)
    return earlier.model_copy(update={"deduplicated": True})


def forget_old(tx: Tx, now_ms: int, most: int = 2000) -> int:
    """Delete expired records among the oldest `most`; how many went. Ids are in the order of time."""
    return tx.run(
        "delete from idempotency where at < :until and id in (select id from idempotency order by id limit :most)",
        until=now_ms - KEPT_MS,
        most=most,
    )
