"""The clipboard: text, HTML, files and whatever else is on it. Imported anywhere; needs a display only when used."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from desktop_agent import flavors
from desktop_agent.flavors import TEXT, Flavors, Kinds, Run
from desktop_agent.window import Hitch

_TRIES: Final = 100
_STEP_S: Final = 0.02
_PROGRAM_S: Final = 10


class NoClipboard(Hitch):
    """This machine's clipboard cannot be used; the message says what to do."""


class Clipboard(Protocol):
    """Text in, text out. What is not text reads as an empty string."""

    def read(self) -> str: ...

    def write(self, text: str) -> None: ...

    def html(self) -> str:
        """The HTML that came with the text; empty when there is none."""
        ...

    def save(self) -> Kinds:
        """All that is there and can be put back: text, formatted text, pictures, files."""
        ...

    def restore(self, kinds: Kinds) -> None: ...

    def files(self) -> tuple[Path, ...]:
        """The files on the clipboard."""
        ...

    def put_files(self, paths: Sequence[Path]) -> None:
        """Put files there, as a file manager's copy does."""
        ...


@dataclass(slots=True)
class Guard:
    """What was on the clipboard before, and everything we had there since."""

    kinds: Kinds
    ours: set[str] = field(default_factory=set)
    our_files: set[tuple[Path, ...]] = field(default_factory=set)

    def note(self, text: str) -> str:
        """Remember a text as ours: while it is there, what was before may come back."""
        self.ours.add(_lines(text))
        return text

    def note_files(self, paths: Sequence[Path]) -> Sequence[Path]:
        """The same for files."""
        self.our_files.add(tuple(paths))
        return paths


@contextmanager
def guarded(clipboard: Clipboard, told: Callable[[str], None]) -> Iterator[Guard]:
    """Use the clipboard and give back everything that was there, unless somebody put something new there.

    When it cannot be given back, that is `told` and not raised: what was done with the clipboard stays done.
    """
    guard = Guard(clipboard.save())
    try:
        yield guard
    finally:
        try:
            _give_back(clipboard, guard)
        except NoClipboard as error:
            told(f"what was on the clipboard before did not come back: {error}")


def _give_back(clipboard: Clipboard, guard: Guard) -> None:
    if _lines(clipboard.read()) in guard.ours or (guard.our_files and clipboard.files() in guard.our_files):
        clipboard.restore(guard.kinds)


class SystemClipboard:
    """The person's clipboard. Text by pyperclip: Windows, macOS, X11 (xclip or xsel), Wayland (wl-clipboard)."""

    def __init__(self, run: Run | None = None, kinds: Flavors | None = None) -> None:
        self._run = run or _program
        self._kinds = kinds or flavors.of_this_system(sys.platform, os.environ)

    def read(self) -> str:
        try:
            return str(_pyperclip("paste"))
        except UnicodeDecodeError:  # xclip gives a picture's bytes when there is no text
            return ""

    def write(self, text: str) -> None:
        """Put text there; it can be read back when this returns. Raises NoClipboard when it does not stay.

        xclip returns before it owns the selection: of 400 reads right after a write, 8 gave the text before it.
        """
        if not self._kinds.put_text(self._run, text):
            _pyperclip("copy", text)
        self._wait(lambda: _lines(self.read()) == _lines(text))

    def html(self) -> str:
        return self._kinds.html(self._run)

    def save(self) -> Kinds:
        return self._kinds.save(self._run)

    def restore(self, kinds: Kinds) -> None:
        """Put everything back; raises NoClipboard when the system's program cannot."""
        if set(kinds) <= {TEXT}:
            self.write(kinds.get(TEXT, b"").decode("utf-8", "replace"))
            return
        if not self._kinds.restore(self._run, kinds):
            raise NoClipboard(f"the system took none of it ({', '.join(kinds) or 'nothing'})")

    def files(self) -> tuple[Path, ...]:
        return self._kinds.files(self._run)

    def put_files(self, paths: Sequence[Path]) -> None:
        """Put files there; they can be read back when this returns. Raises NoClipboard where that is not possible."""
        if not self._kinds.put_files(self._run, paths):
            raise NoClipboard("files cannot be put on the clipboard here; on X11 that needs python3-xlib (pyautogui)")
        self._wait(lambda: self.files() == tuple(paths))

    def _wait(self, there: Callable[[], bool]) -> None:
        for _ in range(_TRIES):
            if there():
                return
            time.sleep(_STEP_S)
        raise NoClipboard("the clipboard does not keep what is put there: another program replaces it; close that one")


def _lines(text: str) -> str:
    """Text with one kind of line end; systems store their own."""
    return text.replace("\r\n", "\n")


def _program(command: list[str], data: bytes) -> bytes | None:
    """Output of a program of the system; None when it is missing, fails or takes too long.

    Into a file: xclip and wl-copy stay in the background with their output open, so a pipe would never end.
    """
    with tempfile.TemporaryFile() as out:
        try:
            done = subprocess.run(command, input=data, stdout=out, stderr=subprocess.DEVNULL, timeout=_PROGRAM_S)
        except (OSError, subprocess.TimeoutExpired):
            return None
        out.seek(0)
        return out.read() if done.returncode == 0 else None


def _pyperclip(name: str, *arguments: str) -> object:
    """Call the library. Raises NoClipboard with what to do when it is missing or does not work here."""
    try:
        import pyperclip
    except ImportError as error:
        raise NoClipboard("pyperclip is missing: pip install 'multi-agent-bridge[desktop]'") from error
    try:
        return getattr(pyperclip, name)(*arguments)
    except (RuntimeError, OSError) as error:  # PyperclipException is a RuntimeError
        raise NoClipboard(
            "the clipboard cannot be used: run inside a desktop session, "
            "on Linux with xclip (X11) or wl-clipboard (Wayland)"
        ) from error
