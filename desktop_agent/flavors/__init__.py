"""Everything a clipboard can hold, by the means each system has for it. pyperclip knows only text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

# what runs a program: command and input -> output, None when it failed
Run = Callable[[list[str], bytes], bytes | None]
# what a clipboard holds: the system's own name of each kind -> its bytes, as they come
Kinds = Mapping[str, bytes]

TEXT: Final = "UTF8_STRING"  # text on X11 and Wayland, the one kind that needs no holder
MOST_BYTES: Final = 48 * 2**20  # more than this is not kept: a clipboard may offer one picture in a dozen formats


class Flavors(Protocol):
    """Clipboard contents other than text. Every method is empty or False where the system has none or cannot."""

    def html(self, run: Run) -> str: ...

    def save(self, run: Run) -> Kinds:
        """All that is there and can be put back, the same for every program that pastes it."""
        ...

    def restore(self, run: Run, kinds: Kinds) -> bool:
        """Put everything back that `save` gave."""
        ...

    def files(self, run: Run) -> tuple[Path, ...]:
        """The files on the clipboard, as a file manager puts them there."""
        ...

    def put_files(self, run: Run, paths: Sequence[Path]) -> bool: ...

    def put_text(self, run: Run, text: str) -> bool:
        """Text, where a program stays to hold it. pyperclip lets it keep our output open, so `… | cat` never ends."""
        ...


def of_this_system(platform: str, env: Mapping[str, str]) -> Flavors:
    """The kind that fits: Windows, macOS, Wayland, else X11."""
    if platform == "win32":
        from desktop_agent.flavors.windows import WindowsFlavors

        return WindowsFlavors()
    if platform == "darwin":
        from desktop_agent.flavors.macos import MacFlavors

        return MacFlavors()
    from desktop_agent.flavors.unix import WaylandFlavors, X11Flavors

    return WaylandFlavors() if env.get("WAYLAND_DISPLAY") else X11Flavors()


def text_of(data: bytes) -> str:
    """Text of clipboard bytes: UTF-8, or UTF-16 as some programs of X11 give it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace").rstrip("\0")
