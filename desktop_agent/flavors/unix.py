"""The clipboards of X11 (xclip, and a holder of our own) and Wayland (wl-clipboard). Kinds are called targets there."""

from __future__ import annotations

import json
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from desktop_agent.flavors import MOST_BYTES, TEXT, Kinds, Run, text_of

URIS: Final = "text/uri-list"
_GNOME: Final = "x-special/gnome-copied-files"
_PLAIN: Final = ("text/plain;charset=utf-8", "text/plain", "STRING", "TEXT", "COMPOUND_TEXT")
_SAVE_WITHIN_S: Final = 5.0
# questions to the owner and orders, no contents
_NOT_DATA: Final = frozenset(
    {"TARGETS", "TIMESTAMP", "MULTIPLE", "SAVE_TARGETS", "DELETE", "INSERT_SELECTION", "INSERT_PROPERTY"}
)


class X11Flavors:
    """xclip, asked for one target at a time; what has several at once is held by `desktop_agent.holder`."""

    def html(self, run: Run) -> str:
        return text_of(self._get(run, "text/html") if "text/html" in self._offered(run) else b"")

    def save(self, run: Run) -> Kinds:
        return saved((name, self._get(run, name)) for name in in_time(wanted(self._offered(run))))

    def restore(self, run: Run, kinds: Kinds) -> bool:
        return run([sys.executable, "-m", "desktop_agent.holder"], _packed(kinds)) is not None

    def files(self, run: Run) -> tuple[Path, ...]:
        return paths_of(self._get(run, URIS) if URIS in self._offered(run) else b"")

    def put_files(self, run: Run, paths: Sequence[Path]) -> bool:
        """What file managers offer: a list of addresses, GNOME's own list, and the paths as text."""
        uris = [path.as_uri() for path in paths]
        kinds = {
            URIS: "".join(f"{uri}\r\n" for uri in uris).encode(),
            _GNOME: "\n".join(["copy", *uris]).encode(),
            TEXT: "\n".join(map(str, paths)).encode(),
        }
        return run([sys.executable, "-m", "desktop_agent.holder"], _packed(kinds)) is not None

    def put_text(self, run: Run, text: str) -> bool:
        return run(["xclip", "-selection", "clipboard", "-i"], text.encode()) is not None

    def _offered(self, run: Run) -> list[str]:
        """Names of the targets there are; asking for one that is not offered may give the text instead."""
        out = run(["xclip", "-selection", "clipboard", "-t", "TARGETS", "-o"], b"") or b""
        return out.decode("utf-8", "replace").split("\n")

    def _get(self, run: Run, target: str) -> bytes:
        return run(["xclip", "-selection", "clipboard", "-t", target, "-o"], b"") or b""


class WaylandFlavors:
    """wl-clipboard, which offers one kind at a time: of several, the text comes back, else a picture, else the first."""

    def html(self, run: Run) -> str:
        return text_of(self._get(run, "text/html") if "text/html" in self._offered(run) else b"")

    def save(self, run: Run) -> Kinds:
        offered = wanted(self._offered(run))
        best = (name for name in (URIS, TEXT, *_PLAIN, "image/png", *offered) if name in offered)
        return saved((name, self._get(run, name)) for name in [*best][:1])

    def restore(self, run: Run, kinds: Kinds) -> bool:
        [(name, data)] = kinds.items() or [(TEXT, b"")]
        return run(["wl-copy"] if name in (TEXT, *_PLAIN) else ["wl-copy", "--type", name], data) is not None

    def files(self, run: Run) -> tuple[Path, ...]:
        return paths_of(self._get(run, URIS) if URIS in self._offered(run) else b"")

    def put_files(self, run: Run, paths: Sequence[Path]) -> bool:
        uris = "".join(f"{path.as_uri()}\r\n" for path in paths)
        return run(["wl-copy", "--type", URIS], uris.encode()) is not None

    def put_text(self, run: Run, text: str) -> bool:
        return run(["wl-copy"], text.encode()) is not None

    def _offered(self, run: Run) -> list[str]:
        return (run(["wl-paste", "--list-types"], b"") or b"").decode("utf-8", "replace").split("\n")

    def _get(self, run: Run, target: str) -> bytes:
        return run(["wl-paste", "--no-newline", "--type", target], b"") or b""


def wanted(offered: Iterable[str]) -> list[str]:
    """The targets worth keeping: all contents, but plain text under one name and a picture in one format.

    Programs with pictures offer a dozen formats that they make when asked, some of 30 MB each; all read PNG.
    """
    names = [name for name in offered if name and name not in _NOT_DATA]
    text = next((name for name in (TEXT, *_PLAIN) if name in names), None)
    picture = "image/png" if "image/png" in names else None

    def kept(name: str) -> bool:
        if name == TEXT or name in _PLAIN:
            return name == text
        return picture in (None, name) or not name.startswith("image/") or name == "image/svg+xml"

    return [name for name in names if kept(name)]


def in_time(names: Iterable[str], now_s: Callable[[], float] = time.monotonic) -> Iterator[str]:
    """The names, text first, as long as there is time: an owner that hangs makes every answer wait for ten seconds."""
    until_s = now_s() + _SAVE_WITHIN_S
    for name in sorted(names, key=lambda name: name != TEXT and name not in _PLAIN):
        if now_s() > until_s:
            return
        yield name


def saved(parts: Iterable[tuple[str, bytes]]) -> Kinds:
    """What was got, without what is empty and what would make it too much. Text is always called UTF8_STRING."""
    kinds: dict[str, bytes] = {}
    for name, data in parts:
        if data and sum(map(len, kinds.values())) + len(data) <= MOST_BYTES:
            kinds[TEXT if name in _PLAIN else name] = _as_utf8(data) if name == "STRING" else data
    return kinds


def _as_utf8(data: bytes) -> bytes:
    """The target STRING is Latin-1 (ICCCM section 2.6.2), but most programs give UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1").encode()
    return data


def paths_of(uris: bytes) -> tuple[Path, ...]:
    """The local paths in a list of addresses (RFC 2483: one a line, lines that begin with # are comments)."""
    lines = [line.strip() for line in text_of(uris).splitlines()]
    return tuple(Path(unquote(urlsplit(line).path)) for line in lines if line.startswith("file://"))


def _packed(kinds: Kinds) -> bytes:
    """Input of the holder. Plain text goes under all its names."""
    text = dict.fromkeys(_PLAIN[:-1], kinds[TEXT]) if TEXT in kinds else {}
    return json.dumps({name: b64encode(data).decode() for name, data in {**text, **kinds}.items()}).encode()
