"""The same key and body give the same result; kept 24 h, written in the transaction of the call itself (P3)."""

from __future__ import annotations

import hashlib
from typing import Final

from hub.core.call import Call
from hub.core.errors import Invalid, KeyReused
from hub.core.operation import AnyOperation, Result
from hub.storage.interface import Tx

KEPT_MS: Final = 24 * 3600 * 1000


def check_key(key: str) -> None:
    """Raises Invalid unless the key is 1–128 visible ASCII characters."""
    if not 1 <= len(key) <= 128 or not all("!" <= c <= "~" for c in key):
        raise Invalid("an idempotency key is 1 to 128 visible ASCII characters")


def digest(canonical: bytes) -> bytes:
    return hashlib.sha256(canonical).digest()


def recall(tx: Tx, call: Call, operation: AnyOperation, key: str, request: bytes) -> bytes | None:
    """The stored response of an earlier identical call, or None. Raises KeyReused for another body under the key."""
    name = ("idempotency", call.agent, operation.name, key)
    found = tx.memo(name, lambda: _load(tx, call, operation, key))
    if found is None:
        tx.forget(name)
        return None
    hashed, response, at = found
    if at < call.now_ms - KEPT_MS:
        tx.run(
            "delete from idempotency where agent = :agent and op = :op and key = :key",
            agent=call.agent,
            op=operation.name,
            key=key,
        )
        tx.forget(name)
        return None
    if hashed != digest(request):
        raise KeyReused(f"key {key!r} was used for another {operation.name} call; use a new key for a new request")
    return response


def _load(tx: Tx, call: Call, operation: AnyOperation, key: str) -> tuple[bytes, bytes, int] | None:
    row = tx.peek(
        "select hash, response, at from idempotency where agent = :agent and op = :op and key = :key",
        agent=call.agent,
        op=operation.name,
        key=key,
    )
    return None if row is None else (bytes(row[0]), bytes(row[1]), int(row[2]))


def record(tx: Tx, call: Call, operation: AnyOperation, key: str, request: bytes, result: Result) -> None:
    """Remember the result under the key; secrets are left out by the result's own `to_keep`."""
    hashed, response = digest(request), result.to_keep()
    tx.stage("idempotency", (call.agent, operation.name, key, hashed, call.now_ms, response))
    tx.remember(("idempotency", call.agent, operation.name, key), (hashed, response, call.now_ms))


def forget_old(tx: Tx, now_ms: int, most: int = 2000) -> int:
    """Delete expired records, at most `most` at a time; how many went."""
    return tx.run(
        "delete from idempotency where (agent, op, key) in"
        " (select agent, op, key from idempotency where at < :until order by at limit :most)",
        until=now_ms - KEPT_MS,
        most=most,
    )
