"""The clipboard's text. Imported anywhere; needs a display only when used."""

from __future__ import annotations

from typing import Protocol


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
        _pyperclip("copy", text)


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
