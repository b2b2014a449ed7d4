"""A child process that leads a group of its own, so that whatever it started ends with it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill it and its children; where there are no groups (Windows), it alone."""
    with suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


async def end(process: asyncio.subprocess.Process) -> int:
    """Kill it and its children, and take its exit status."""
    kill_group(process)
    if process.stdin is not None:
        process.stdin.close()
    return await process.wait()
