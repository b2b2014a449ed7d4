"""Waiting for conditions, never for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

_STEP_S = 0.02


async def eventually(check: Callable[[], Awaitable[Any] | Any], *, within_s: float = 10, what: str = "") -> Any:
    """The first truthy result of `check`. Fails with the last result, or the last error, when time runs out."""
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
        try:
            found = check()
            last = await found if isinstance(found, Awaitable) else found
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or check} (last: {last!r})")
        await asyncio.sleep(_STEP_S)


def eventually_sync(check: Callable[[], Any], *, within_s: float = 10, what: str = "") -> Any:
    """Like `eventually`, for code without an event loop."""
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
        try:
            last = check()
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or check} (last: {last!r})")
        time.sleep(_STEP_S)
