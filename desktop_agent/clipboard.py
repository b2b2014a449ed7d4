"""The clipboard's text. Imported anywhere; needs a display only when used."""

from __future__ import annotations

import time
from typing import Final, Protocol

_TRIES: Final = 100
_STEP_S: Final = 0.02


class NoClipboard(Exception):
    """This machine's clipboard cannot be used; the message says what to do."""


class Clipboard(Protocol):
    """Text in, text out. What is not text reads as an empty string."""

    def read(self) -> str: ...

    def write(self, text: str) -> None: ...


class SystemClipboard:
    """The person's clipboard, by pyperclip: Windows, macOS, X11 (xclip or xsel), Wayland (wl-clipboard)."""

    def read(self) -> str:
        return str(_pyperclip("paste"))

    def write(self, text: str) -> None:
        """Put text there; it can be read back when this returns. Raises NoClipboard when it does not stay.

        xclip returns before it owns the selection: of 400 reads right after a write, 8 gave the text before it.
        """
        _pyperclip("copy", text)
        for _ in range(_TRIES):
            if _lines(self.read()) == _lines(text):
                return
            time.sleep(_STEP_S)
        raise NoClipboard("the clipboard does not keep what is put there: another program replaces it; close that one")


def _lines(text: str) -> str:
    """Text with one kind of line end; systems store their own."""
    return text.replace("\r\n", "\n")


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
