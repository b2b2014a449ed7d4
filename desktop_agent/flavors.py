"""HTML, pictures and lasting text on the clipboard, by the programs each system has for them. pyperclip knows only text."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

# what runs a program: command and input -> output, None when it failed
Run = Callable[[list[str], bytes], bytes | None]


class Flavors(Protocol):
    """Clipboard contents other than text. Every method is empty or False where the system has none or cannot."""

    def html(self, run: Run) -> str: ...

    def image(self, run: Run) -> bytes: ...

    def put_image(self, run: Run, png: bytes) -> bool: ...

    def put_text(self, run: Run, text: str) -> bool:
        """Text, where a program stays to hold it. pyperclip lets it keep our output open, so `… | cat` never ends."""
        ...


def of_this_system(platform: str, env: Mapping[str, str]) -> Flavors:
    """The kind that fits: Windows, macOS, Wayland, else X11."""
    if platform == "win32":
        return WindowsFlavors()
    if platform == "darwin":
        return MacFlavors()
    return WaylandFlavors() if env.get("WAYLAND_DISPLAY") else X11Flavors()


class X11Flavors:
    """xclip, asked for one target at a time."""

    def html(self, run: Run) -> str:
        return text_of(self._get(run, "text/html"))

    def image(self, run: Run) -> bytes:
        return self._get(run, "image/png")

    def put_image(self, run: Run, png: bytes) -> bool:
        return run(["xclip", "-selection", "clipboard", "-t", "image/png", "-i"], png) is not None

    def put_text(self, run: Run, text: str) -> bool:
        return run(["xclip", "-selection", "clipboard", "-i"], text.encode()) is not None

    def _get(self, run: Run, target: str) -> bytes:
        """A target the owner offers; asking for one it does not offer may give its text instead."""
        offered = run(["xclip", "-selection", "clipboard", "-t", "TARGETS", "-o"], b"") or b""
        if target.encode() not in offered.split():
            return b""
        return run(["xclip", "-selection", "clipboard", "-t", target, "-o"], b"") or b""


class WaylandFlavors:
    """wl-clipboard."""

    def html(self, run: Run) -> str:
        return text_of(self._get(run, "text/html"))

    def image(self, run: Run) -> bytes:
        return self._get(run, "image/png")

    def put_image(self, run: Run, png: bytes) -> bool:
        return run(["wl-copy", "--type", "image/png"], png) is not None

    def put_text(self, run: Run, text: str) -> bool:
        return run(["wl-copy"], text.encode()) is not None

    def _get(self, run: Run, target: str) -> bytes:
        offered = run(["wl-paste", "--list-types"], b"") or b""
        if target.encode() not in offered.split():
            return b""
        return run(["wl-paste", "--no-newline", "--type", target], b"") or b""


class MacFlavors:
    """osascript: data comes and goes as hexadecimal digits (`«data HTML3C68…»`)."""

    def html(self, run: Run) -> str:
        return text_of(self._get(run, "HTML"))

    def image(self, run: Run) -> bytes:
        return self._get(run, "PNGf")

    def put_image(self, run: Run, png: bytes) -> bool:
        script = f"set the clipboard to «data PNGf{png.hex().upper()}»"
        return run(["osascript", "-"], script.encode()) is not None

    def put_text(self, run: Run, text: str) -> bool:
        return False

    def _get(self, run: Run, kind: str) -> bytes:
        out = run(["osascript", "-e", f"the clipboard as «class {kind}»"], b"") or b""
        found = re.search(rf"«data {kind}([0-9A-Fa-f]*)»", out.decode("utf-8", "replace"))
        return bytes.fromhex(found[1]) if found else b""


_POWERSHELL: Final = ["powershell", "-NoProfile", "-NonInteractive", "-STA", "-Command"]
_FORMS: Final = "Add-Type -AssemblyName System.Windows.Forms,System.Drawing;"
_GET_HTML: Final = (
    _FORMS + "$t=[Windows.Forms.Clipboard]::GetText('Html');"
    "[Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($t))"
)
_GET_IMAGE: Final = (
    _FORMS + "$i=[Windows.Forms.Clipboard]::GetImage();if($i){$m=New-Object IO.MemoryStream;"
    "$i.Save($m,[Drawing.Imaging.ImageFormat]::Png);[Convert]::ToBase64String($m.ToArray())}"
)
_PUT_IMAGE: Final = (
    _FORMS + "$b=[Convert]::FromBase64String([Console]::In.ReadToEnd());"
    "[Windows.Forms.Clipboard]::SetImage([Drawing.Image]::FromStream((New-Object IO.MemoryStream(,$b))))"
)


class WindowsFlavors:
    """PowerShell with Windows Forms; bytes as base64. HTML comes in the CF_HTML envelope."""

    def html(self, run: Run) -> str:
        text = text_of(self._get(run, _GET_HTML))
        found = re.search(r"<!--StartFragment-->(.*)<!--EndFragment-->", text, re.DOTALL)
        return found[1] if found else text[max(0, text.find("<")) :]

    def image(self, run: Run) -> bytes:
        return self._get(run, _GET_IMAGE)

    def put_image(self, run: Run, png: bytes) -> bool:
        return run([*_POWERSHELL, _PUT_IMAGE], base64.b64encode(png)) is not None

    def put_text(self, run: Run, text: str) -> bool:
        return False

    def _get(self, run: Run, script: str) -> bytes:
        return base64.b64decode(run([*_POWERSHELL, script], b"") or b"")


def text_of(data: bytes) -> str:
    """Text of clipboard bytes: UTF-8, or UTF-16 as some programs of X11 give it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace").rstrip("\0")
