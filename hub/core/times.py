"""Times as integer milliseconds inside, RFC 3339 UTC outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=256)
def _second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=1024)
def rfc3339(at_ms: int) -> str:
    """`2026-11-22T09:00:00.123Z`."""
    second, milli = divmod(at_ms, 1000)
    return f"{_second(second)}.{milli:03d}Z"


def optional_rfc3339(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
