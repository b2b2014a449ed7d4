"""What became of a pushed text, read from the transcript that Claude Code keeps of its own session.

A way into a session answers nothing. But the client writes down what it queued, what it put into the conversation, and
what the model answered; each pushed text carries a random marker to find it by. An answer of the model that comes after
the text is proof that the model got it. An error of the model API is written as an answer too, but marked; it proves
nothing. Formats seen in Claude Code 2.1.332; lines of other kinds are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

Stage = Literal["queued", "placed", "answered"]
PLACES: Final = frozenset({"queued_command", "hook_additional_context"})  # attachments that are in the conversation
BACK_BYTES: Final = 256 * 1024  # far enough back to find which answer is being written
Line = dict[str, Any]


class Transcript:
    """One session's transcript, read on from where reading stopped. `find` says where it is; None: nowhere yet.

    A session that its user clears goes on in another file beside it, without a word to its servers.
    """

    def __init__(self, find: Callable[[], Path | None]) -> None:
        self._find = find
        self._path: Path | None = None
        self._offset = 0
        self._rest = b""
        self._expected: dict[str, Stage | None] = {}
        self._beside: dict[Path, int] = {}  # other transcripts of the project, read up to here
        self._answer = ""  # id of the newest answer: its later blocks were asked for before what is placed meanwhile

    def follow(self, path: Path) -> None:
        """The session goes on in this file."""
        if path != self._path:
            self._go_on(path, 0)

    def _go_on(self, path: Path, offset: int) -> None:
        """What no answer proved in the file before is not in this conversation, unless it turns up here."""
        moved = self._path is not None
        self._path, self._offset, self._rest = path, offset, b""
        for marker, stage in self._expected.items() if moved else ():
            self._expected[marker] = stage if stage == "answered" else None

    @property
    def readable(self) -> bool:
        """Whether there is one; without, nothing is ever proved here."""
        if self._path is None and (found := self._find()) is not None:
            self.follow(found)
        return self._path is not None and self._path.exists()

    def expect(self, marker: str, *, asked: bool = False) -> None:
        """A text with this marker is about to be pushed, or handed to who `asked`. What is written cannot hold it yet."""
        if not self._expected and self.readable and self._path is not None:
            start = self._path.stat().st_size - BACK_BYTES
            if start > self._offset:
                self._offset, self._rest = start, b""
            self._beside = {path: _size(path) for path in self._path.parent.glob("*.jsonl")}
        self._expected[marker] = None

    def forget(self, marker: str) -> None:
        self._expected.pop(marker, None)

    def overtaken(self) -> frozenset[str]:
        """What the client would bring only after a turn that began meanwhile; none where it takes texts in mid-turn."""
        return frozenset()

    def look(self) -> dict[str, Stage | None]:
        """How far each expected text got."""
        if self._expected and self.readable and self._path is not None:
            self._read_file(self._path)
            if None in self._expected.values() and self._look_beside():
                self._read_file(self._path)
        return dict(self._expected)

    def _read_file(self, path: Path) -> None:
        data = _tail(path, self._offset)
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        for raw in whole:
            self._take(raw)

    def _look_beside(self) -> bool:
        """Whether the session goes on in another file: one that has got a text which only this session can have."""
        assert self._path is not None
        for path in self._path.parent.glob("*.jsonl"):
            before = self._beside.get(path, 0)
            if path == self._path or _size(path) <= before:
                continue
            whole = _tail(path, before).rpartition(b"\n")[0]
            if any(self._is_ours(raw) for raw in whole.split(b"\n")):
                self._go_on(path, before)
                return True
            self._beside[path] = before + len(whole)
        return False

    def _is_ours(self, raw: bytes) -> bool:
        text = raw.decode("utf-8", "replace")
        return any(marker in text for marker in self._expected) and _line(text) is not None

    def _take(self, raw: bytes) -> None:
        text = raw.decode("utf-8", "replace")
        if '"assistant"' not in text and not any(marker in text for marker in self._expected):
            return
        if (line := _line(text)) is not None:
            self._read(line)

    def _read(self, line: Line) -> None:
        if line.get("type") == "assistant":
            self._answered(line)
        elif line.get("type") == "queue-operation" and line.get("operation") == "enqueue":
            self._reached("queued", line.get("content"))
        elif line.get("type") == "user":
            self._reached("placed", line.get("message"))
        elif line.get("type") == "attachment" and (line.get("attachment") or {}).get("type") in PLACES:
            self._reached("placed", line["attachment"])

    def _reached(self, stage: Stage, content: Any) -> None:
        text = json.dumps(content)
        for marker, before in self._expected.items():
            if marker in text and (before is None or (before, stage) == ("queued", "placed")):
                self._expected[marker] = stage

    def _answered(self, line: Line) -> None:
        message = line.get("message") or {}
        answer = str(message.get("id", ""))
        if line.get("isApiErrorMessage") or message.get("model") == "<synthetic>" or answer == self._answer:
            return
        self._answer = answer
        for marker, stage in self._expected.items():
            if stage == "placed":
                self._expected[marker] = "answered"


def _line(text: str) -> Line | None:
    """A line of the session's own; None for one of a subagent, whose context is another."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and not line.get("isSidechain") else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tail(path: Path, offset: int) -> bytes:
    """What stands in a file from here on; empty when it cannot be read now."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except OSError:
        return b""


def of_claude_code(home: Path, config: str, session: str) -> Path | None:
    """Where Claude Code keeps the transcript of this session, if it has begun one."""
    if not session or "/" in session or "\\" in session:
        return None
    projects = (Path(config) if config else home / ".claude") / "projects"
    return next(iter(sorted(projects.glob(f"*/{session}.jsonl"))), None)
