"""A small window on top of all others that says what the agent does, with Pause and Stop, and asks before each prompt.

Optional: it needs Tk. It is a process of its own (`python -m desktop_agent.indicator`). Lines in are JSON: {"say": text},
{"ask": number, "title", "text", "question"}, {"answered": number}. Lines out: `pause`, `resume`, `stop`, `yes 3`, `no 3`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

from desktop_agent.asking import Ask
from desktop_agent.control import Stopped, Switch
from desktop_agent.window import OWN_TITLE

_WIDTH: Final = 440
_LOW: Final = 72
_HIGH: Final = 330
_FROM_EDGE_PX: Final = 12
_LONGEST: Final = 52
_MOST_CHARACTERS: Final = 20_000
_AWAKE_AFTER_MS: Final = 800  # a click on its way to something else does not land on a button that appears under it
_DARK: Final = "#1f2430"
_LIGHT: Final = "#e6e6e6"


class Indicator:
    """The window, from the agent's side. Without Tk or a screen it is silent, stops nothing and answers nothing."""

    def __init__(self, switch: Switch, process: asyncio.subprocess.Process) -> None:
        self._switch = switch
        self._process = process
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[bool | None]] = {}
        self._gone = False

    @classmethod
    async def start(cls, switch: Switch) -> Indicator:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "desktop_agent.indicator", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
        return cls(switch, process)

    def show(self, text: str) -> None:
        """Say this in the window; nothing happens when it is closed."""
        self._write({"say": " ".join(text.split())[:200]})

    async def ask(self, ask: Ask) -> bool | None:
        """Show it with two buttons and return which was pressed; None without a window. `obey` must be running."""
        if self._gone:
            return None
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        self._write({"ask": number, **asdict(ask)})
        try:
            return await self._asked[number]
        finally:
            del self._asked[number]
            self._write({"answered": number})

    async def obey(self) -> None:
        """Follow the buttons. Raises Stopped at Stop, also when the window was closed; waits for ever without a window."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            word, _, number = line.decode("utf-8", "replace").strip().partition(" ")
            if word == "stop":
                self._switch.stopped = True
                raise Stopped("stopped by the person at this desktop")
            if word in ("yes", "no"):
                self._answered(int(number), word == "yes")
            else:
                self._switch.paused = word == "pause"
        self._gone = True
        for open_question in self._asked:
            self._answered(open_question, None)
        await asyncio.Event().wait()

    async def close(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()

    def _answered(self, number: int, answer: bool | None) -> None:
        future = self._asked.get(number)
        if future is not None and not future.done():
            future.set_result(answer)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        if self._process.returncode is None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(line).encode() + b"\n")


class _Panel:
    """The window itself: what happens now, Pause and Stop; below them the oldest open question, if any."""

    def __init__(self, tk: Any) -> None:
        self.tk = tk
        self.root = root = tk.Tk()
        root.title(OWN_TITLE)
        root.resizable(False, False)
        root.attributes("-topmost", True)
        root.geometry(f"{_WIDTH}x{_LOW}+{root.winfo_screenwidth() - _WIDTH - _FROM_EDGE_PX}+{_FROM_EDGE_PX * 3}")
        root.protocol("WM_DELETE_WINDOW", self.stop)
        root.configure(background=_DARK)
        self.said = self.label(root, "waiting")
        self.said.pack(side="top", fill="x", padx=10, pady=(8, 4))
        row = tk.Frame(root, background=_DARK)
        row.pack(side="top", fill="x", padx=10)
        self.pause = self.button(row, "Pause", "#f2c14e", "black", self.turn)
        self.pause.pack(side="left")
        self.button(row, "Stop", "#d95550", "white", self.stop).pack(side="left", padx=8)
        tk.Label(row, text="typing into chat windows", background=_DARK, foreground="#9aa3b2").pack(side="right")
        self.asked: dict[int, dict[str, str]] = {}
        self.shown = 0
        self.build_question()

    def build_question(self) -> None:
        """Title, text to scroll, question and two buttons, in a frame that is out of sight until something is asked."""
        tk = self.tk
        self.frame = tk.Frame(self.root, background=_DARK)
        self.title = self.label(self.frame, "")
        self.title.pack(side="top", fill="x", pady=(8, 2))
        row = tk.Frame(self.frame, background=_DARK)
        row.pack(side="bottom", fill="x", pady=(4, 8))
        self.yes = self.button(row, "Send", "#58b368", "black", lambda: self.answer("yes"))
        self.yes.pack(side="left")
        self.no = self.button(row, "Decline", "#9aa3b2", "black", lambda: self.answer("no"))
        self.no.pack(side="left", padx=8)
        self.question = self.label(self.frame, "")
        self.question.configure(wraplength=_WIDTH - 24, justify="left")
        self.question.pack(side="bottom", fill="x")
        body = tk.Frame(self.frame)
        body.pack(side="top", fill="both", expand=True)
        self.text = tk.Text(body, height=4, wrap="word", state="disabled", takefocus=0, borderwidth=0, padx=6, pady=4)
        bar = tk.Scrollbar(body, command=self.text.yview, takefocus=0)
        self.text.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.text.pack(side="left", fill="both", expand=True)

    def label(self, parent: Any, text: str) -> Any:
        return self.tk.Label(parent, text=text, anchor="w", background=_DARK, foreground=_LIGHT)

    def button(self, parent: Any, text: str, background: str, foreground: str, command: Any) -> Any:
        look = {"relief": "flat", "borderwidth": 0, "padx": 14, "pady": 3, "highlightthickness": 0, "takefocus": 0}
        return self.tk.Button(parent, text=text, command=command, background=background, foreground=foreground, **look)

    def turn(self) -> None:
        pausing = self.pause["text"] == "Pause"
        self.pause["text"] = "Resume" if pausing else "Pause"
        print("pause" if pausing else "resume", flush=True)

    def stop(self) -> None:
        print("stop", flush=True)
        self.root.destroy()

    def answer(self, word: str) -> None:
        print(word, self.shown, flush=True)
        self.take_away(self.shown)

    def follow(self) -> None:
        """Show lines from standard input; its end ends the window."""
        lines = iter(sys.stdin.readline, "")

        def read() -> None:
            for line in lines:
                self.root.after(0, self.take, json.loads(line))
            self.root.after(0, self.root.destroy)

        threading.Thread(target=read, daemon=True).start()
        self.root.mainloop()

    def take(self, line: dict[str, Any]) -> None:
        if "say" in line:
            self.said["text"] = shortened(line["say"])
        elif "ask" in line:
            self.asked[line["ask"]] = line
            self.show_oldest()
        else:
            self.take_away(line["answered"])

    def take_away(self, number: int) -> None:
        self.asked.pop(number, None)
        self.show_oldest()

    def show_oldest(self) -> None:
        """The question that waits longest; the buttons work a moment after it is to be seen."""
        oldest = next(iter(self.asked), 0)
        if oldest == self.shown:
            return
        self.shown = oldest
        self.root.geometry(f"{_WIDTH}x{_HIGH if oldest else _LOW}")
        if not oldest:
            self.frame.pack_forget()
            return
        line = self.asked[oldest]
        self.title["text"], self.question["text"] = shortened(line["title"]), line["question"]
        self.text.configure(state="normal")
        self.text.delete("1.0", "end")
        self.text.insert("1.0", line["text"][:_MOST_CHARACTERS])
        self.text.configure(state="disabled")
        self.frame.pack(side="top", fill="both", expand=True, padx=10)
        for button in (self.yes, self.no):
            button.configure(state="disabled")
        self.root.after(_AWAKE_AFTER_MS, self.wake, oldest)

    def wake(self, number: int) -> None:
        if number == self.shown:
            for button in (self.yes, self.no):
                button.configure(state="normal")


def shortened(text: str) -> str:
    """What fits into a line of the window."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def main() -> None:
    import tkinter

    _Panel(tkinter).follow()


if __name__ == "__main__":
    main()
