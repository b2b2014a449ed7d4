"""Programs of a user: in a pseudo-terminal, where what it shows is kept and its questions are answered, or without."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

LINES: Final = 40
COLUMNS: Final = 120
# what a full-screen program asks before it starts: where the cursor is, what kind of terminal this is
ANSWERS: Final = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;c"}


def run_in(
    folder: Path, environment: Mapping[str, str], *command: str, within_s: float = 100
) -> subprocess.CompletedProcess[str]:
    """A command without a terminal that ends by itself."""
    return subprocess.run(
        command,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=within_s,
        stdin=subprocess.DEVNULL,
    )


class Terminal:
    """Started at once; `close` kills the program with its children."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.screen = bytearray()
        self._terminal, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        sizes = {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color"}
        self._process = subprocess.Popen(
            command,
            stdin=other,
            stdout=other,
            stderr=other,
            env={**environment, **sizes},
            cwd=folder,
            start_new_session=True,
        )
        os.close(other)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                ready, _, _ = select.select([self._terminal], [], [], 1)
                if not ready:
                    continue
                data = os.read(self._terminal, 65536)
                if not data:
                    return
                self.screen += data
                for question, answer in ANSWERS.items():
                    if question in data:
                        os.write(self._terminal, answer)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        os.close(self._terminal)
