"""Letting what the code inside does wait for the hub: less of the processor, and at once. Linux only."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from hub.sandbox.seccomp import ARCHES

NICE: Final = 5  # a third of the hub's share where both want all: little enough for it, enough not to starve
_SLICE_NS: Final = 100_000_000  # the longest the kernel takes


def go_second(pid: int) -> None:
    """Put a process, and all it starts, behind this one. Raises OSError."""
    os.setpriority(os.PRIO_PROCESS, pid, min(os.getpriority(os.PRIO_PROCESS, 0) + NICE, 19))


def give_way(pid: int) -> None:
    """Let whoever wakes up run before this process at once. For one that burns the processor. Raises OSError.

    The nice value gives it less. It does not let a hub that wakes up run immediately: since Linux 6.6 whoever runs may
    finish its slice, some milliseconds. Since 6.12 whoever has a shorter slice need not wait for that, so the code
    gets a long one; before, the kernel ignores it. Not from the start: beside much other work a long slice also
    means waiting long for the first one. SCHED_IDLE would do it everywhere, but on a busy machine code would then
    stand still until its time is over.
    """
    nice = os.getpriority(os.PRIO_PROCESS, pid)
    # struct sched_attr: size, policy (the ordinary one), flags, nice, real-time priority, slice, deadline, period
    asked = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, nice, 0, _SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(ARCHES[os.uname().machine].sched_setattr, pid, asked, 0)
