"""A small window on top of all others that says what the agent does, with Pause and Stop. Optional: it needs Tk.

It is a process of its own (`python -m desktop_agent.indicator`): lines in are shown, lines out are `pause`, `resume`, `stop`.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from typing import Any, Final

from desktop_agent.control import Stopped, Switch

_WIDTH: Final = 440
_FROM_EDGE_PX: Final = 12
_LONGEST: Final = 52


class Indicator:
    """The window, from the agent's side. Without Tk or a screen it is silent and stops nothing."""

    def __init__(self, switch: Switch, process: asyncio.subprocess.Process) -> None:
        self._switch = switch
        self._process = process

    @classmethod
    async def start(cls, switch: Switch) -> Indicator:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "desktop_agent.indicator", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
        return cls(switch, process)

    def show(self, text: str) -> None:
        """Say this in the window; nothing happens when it is closed."""
        assert self._process.stdin is not None
        if self._process.returncode is None and not self._process.stdin.is_closing():
            self._process.stdin.write(" ".join(text.split())[:200].encode() + b"\n")

    async def obey(self) -> None:
        """Follow the buttons. Raises Stopped at Stop, also when the window was closed; waits for ever without a window."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            word = line.decode("utf-8", "replace").strip()
            self._switch.paused = word == "pause"
            if word == "stop":
                self._switch.stopped = True
                raise Stopped("stopped by the person at this desktop")
        await asyncio.Event().wait()

    async def close(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()


class _Panel:
    """The window itself."""

    def __init__(self, tk: Any) -> None:
        self.root = root = tk.Tk()
        root.title("Desktop agent")
        root.resizable(False, False)
        root.attributes("-topmost", True)
        root.geometry(f"{_WIDTH}x72+{root.winfo_screenwidth() - _WIDTH - _FROM_EDGE_PX}+{_FROM_EDGE_PX * 3}")
        root.protocol("WM_DELETE_WINDOW", self.stop)
        root.configure(background="#1f2430")
        self.said = tk.Label(root, text="waiting", anchor="w", background="#1f2430", foreground="#e6e6e6")
        self.said.pack(side="top", fill="x", padx=10, pady=(8, 4))
        row = tk.Frame(root, background="#1f2430")
        row.pack(side="top", fill="x", padx=10)
        look = {"relief": "flat", "borderwidth": 0, "padx": 14, "pady": 3, "highlightthickness": 0}
        self.pause = tk.Button(row, text="Pause", command=self.turn, background="#f2c14e", **look)
        self.pause.pack(side="left")
        tk.Button(row, text="Stop", command=self.stop, background="#d95550", foreground="white", **look).pack(
            side="left", padx=8
        )
        tk.Label(row, text="typing into chat windows", background="#1f2430", foreground="#9aa3b2").pack(side="right")

    def turn(self) -> None:
        pausing = self.pause["text"] == "Pause"
        self.pause["text"] = "Resume" if pausing else "Pause"
        print("pause" if pausing else "resume", flush=True)

    def stop(self) -> None:
        print("stop", flush=True)
        self.root.destroy()

    def follow(self) -> None:
        """Show lines from standard input; its end ends the window."""
        lines = iter(sys.stdin.readline, "")

        def read() -> None:
            for line in lines:
                self.root.after(0, self.say, line.strip())
            self.root.after(0, self.root.destroy)

        threading.Thread(target=read, daemon=True).start()
        self.root.mainloop()

    def say(self, text: str) -> None:
        self.said["text"] = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def main() -> None:
    import tkinter

    _Panel(tkinter).follow()


if __name__ == "__main__":
    main()
