"""A desktop in memory: one chat window, one other window, a clipboard, a person who acts at any step, and a clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from desktop_agent.control import Pace
from desktop_agent.window import Box, Picture, Point, Window

CHAT = Window(1, "Chat", Box(100, 100, 400, 600))
OTHER = Window(2, "Mail", Box(600, 100, 400, 600))
INPUT = Box(100, 640, 400, 60)
TRANSCRIPT = Box(100, 100, 400, 540)


class FakeDesktop:
    """Behaves like a real one as far as the agent can see. `after` runs after every call that acts.

    So a person may come in between any two calls. What happens between a check and the key that follows at once (a
    fraction of a millisecond) no program can see; the docs say so."""

    modifier = "ctrl"

    def __init__(self) -> None:
        self.now = 1000.0
        self.last_input_s = 0.0
        self.open = [CHAT, OTHER]
        self.focus: Window | None = OTHER
        self.part: str | None = None
        self.at = Point(640, 400)
        self.texts = {"input": "", "transcript": "welcome", "mail": ""}
        self.html = ""
        self.selected: str | None = None
        self.clip: tuple[str, object] = ("text", "mine")
        self.sent: list[str] = []
        self.calls = 0
        self._done = ""
        self.after: Callable[[str], None] = lambda call: None
        self.reply: Callable[[str], str | None] = lambda prompt: None
        self.eats: Callable[[str], str] = lambda text: text
        self.refuses_to_copy = False
        self.takes_files = "attached"  # or "as text", or "not at all"
        self.attached: list[str] = []
        self.sent_files: list[list[str]] = []
        self.pace = Pace(lambda: self.now, self.pause)

    async def pause(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)
        self._act("pause")

    # Desktop

    def close(self) -> None:
        """Nothing was opened."""

    def windows(self) -> tuple[Window, ...]:
        self._meanwhile()
        return tuple(self.open)

    def activate(self, window: Window) -> None:
        if window in self.open:
            self.focus, self.part = window, None
        self._act("activate")

    def is_active(self, window: Window) -> bool:
        self._meanwhile()
        return self.focus == window

    def front(self) -> Window | None:
        return self.focus

    def click(self, point: Point) -> None:
        self.at = point
        self._event()
        if CHAT in self.open and CHAT.box.contains(point):
            self.focus = CHAT
            self.part = "input" if INPUT.contains(point) else "transcript"
            self.selected = None
        self._act("click")

    def move(self, point: Point) -> None:
        self.at = point
        self._event()
        self._act("move")

    def press(self, *keys: str) -> None:
        self._event()
        part = self.part if self.focus == CHAT else ("mail" if self.focus == OTHER else None)
        if part is not None:
            self._key(part, "+".join(keys))
        self._act("+".join(keys))

    def pointer(self) -> Point:
        self._meanwhile()
        return self.at

    def screen(self) -> Box:
        return Box(0, 0, 1280, 900)

    def idle_s(self) -> float | None:
        self._meanwhile()
        return self.now - self.last_input_s

    def picture(self, box: Box) -> Picture:
        """One pixel per character of the transcript and the attached names: what grows looks new."""
        shown = (self.texts["transcript"] + "".join(self.attached)).encode("utf-32-le")[-3 * 40 :]
        return Picture(40, 1, shown.ljust(120, b"\0")[:120])

    # Clipboard

    def read(self) -> str:
        self._meanwhile()
        return str(self.clip[1]) if self.clip[0] == "text" else "\n".join(map(str, self.files()))

    def write(self, text: str) -> None:
        self.clip = ("text", text)
        self._act("write")

    def html_of_clip(self) -> str:
        return self.html

    def save(self) -> dict[str, bytes]:
        kind, data = self.clip
        return {kind: json.dumps(data).encode()}

    def restore(self, kinds: Mapping[str, bytes]) -> None:
        [(kind, data)] = kinds.items()
        self.clip = (kind, json.loads(data))

    def files(self) -> tuple[Path, ...]:
        return tuple(map(Path, self.clip[1])) if self.clip[0] == "files" else ()  # type: ignore[call-overload]

    def put_files(self, paths: Sequence[Path]) -> None:
        self.clip = ("files", [str(path) for path in paths])
        self._act("put files")

    # The person

    def person_types(self, text: str) -> None:
        self._event(0.03)
        if self.focus == CHAT and self.part == "input":
            self.texts["input"] += text

    def person_moves(self) -> None:
        self.at = Point(self.at.x + 50, self.at.y)
        self._event(0.03)

    # Inside

    def _act(self, call: str) -> None:
        self._meanwhile()
        self.calls += 1
        self._done = call

    def _meanwhile(self) -> None:
        """What the person does between the last call that acted and the next look."""
        call, self._done = self._done, ""
        if call:
            self.after(call)

    def _event(self, after_s: float = 0.001) -> None:
        self.now += after_s
        self.last_input_s = self.now

    def _key(self, part: str, keys: str) -> None:
        if keys == "ctrl+a":
            self.selected = part if self.texts[part] else None
        elif keys == "ctrl+c" and self.selected == part and not self.refuses_to_copy:
            self.clip = ("text", self.texts[part])
        elif keys == "ctrl+v" and part != "transcript" and self.clip[0] == "text":
            pasted = self.eats(self.read())
            self.texts[part] = pasted if self.selected == part else self.texts[part] + pasted
            self.selected = None
        elif keys == "ctrl+v" and part == "input" and self.clip[0] == "files":
            self._paste_files()
        elif keys == "delete" and self.selected == part and part != "transcript":
            self.texts[part], self.selected = "", None
        elif keys == "enter" and part == "input":
            self._send()

    def _paste_files(self) -> None:
        if self.takes_files == "attached":
            self.attached += [path.name for path in self.files()]
        elif self.takes_files == "as text":
            self.texts["input"] += self.read()

    def _send(self) -> None:
        prompt, self.texts["input"] = self.texts["input"], ""
        self.sent.append(prompt)
        self.sent_files.append(self.attached)
        self.attached = []
        self.texts["transcript"] += f"\n{prompt}"
        answer = self.reply(prompt)
        if answer is not None:
            self.texts["transcript"] += f"\n{answer}"


class FakeClipboard:
    """The clipboard side of the fake desktop."""

    def __init__(self, desktop: FakeDesktop) -> None:
        self._desktop = desktop

    def read(self) -> str:
        return self._desktop.read()

    def write(self, text: str) -> None:
        self._desktop.write(text)

    def html(self) -> str:
        return self._desktop.html_of_clip()

    def save(self) -> Mapping[str, bytes]:
        return self._desktop.save()

    def restore(self, kinds: Mapping[str, bytes]) -> None:
        self._desktop.restore(kinds)

    def files(self) -> tuple[Path, ...]:
        return self._desktop.files()

    def put_files(self, paths: Sequence[Path]) -> None:
        self._desktop.put_files(paths)
