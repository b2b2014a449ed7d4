"""Rungs `monitor` and `rewake`: processes that our plugin starts in the session and that print what we hand them.

They find this session's relay by a file in the data directory, named by the session and by the client's process, that
only the user can read: a port on loopback and a secret. One JSON line each way: the listener says what it is, the relay
gives it a text, the listener says that it printed it. A hook that is a process asks here too, and gets its output.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from hub.running import is_running
from mcp_bridge.push.ways import PushFailed

Kind = Literal["monitor", "rewake"]
KINDS: Final[tuple[Kind, ...]] = ("monitor", "rewake")
ANSWER_S: Final = 5.0
LINE_CHARS: Final = 2_000  # a monitor's line is cut a little below 3,000 characters
HOOK_CHARS: Final = 8_000
Json = dict[str, Any]


def names(environment: Mapping[str, str], parent: int) -> list[str]:
    """What this session's file is called: by session, and by the client's process, which outlives a `/clear`."""
    session = environment.get("CLAUDE_CODE_SESSION_ID", "")
    known = [session] if re.fullmatch(r"[\w-]{1,64}", session) else []
    return [*known, f"client-{environment.get('CLAUDE_PID') or parent}"]


def folder(home: Path) -> Path:
    return home / "sessions"


class Link:
    """One listener's connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")
        connection.settimeout(ANSWER_S)

    def read(self) -> Json:
        """One line; empty when the other end is gone or talks nonsense."""
        try:
            found = json.loads(self._file.readline(1 << 20) or b"{}")
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def wait(self) -> str:
        """The next text, however long it takes; empty when the other end is gone."""
        self._connection.settimeout(None)
        try:
            return str(self.read().get("text", ""))
        finally:
            with contextlib.suppress(OSError):
                self._connection.settimeout(ANSWER_S)

    def write(self, value: Json) -> None:
        self._connection.sendall(json.dumps(value).encode() + b"\n")

    @property
    def alive(self) -> bool:
        """Whether the other end is still there."""
        try:
            self._connection.setblocking(False)
            return self._connection.recv(1, socket.MSG_PEEK) != b""
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        finally:
            with contextlib.suppress(OSError):
                self._connection.settimeout(ANSWER_S)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
            self._connection.close()


class Listeners:
    """The relay's end: takes listeners in, one of each kind, and tells the world how this session is reached."""

    def __init__(self, home: Path, called: Iterable[str], off: frozenset[str] = frozenset()) -> None:
        self._folder = folder(home)
        self._paths = [self._folder / f"{name}.json" for name in called]
        self._off = off
        self._secret = secrets.token_hex(16)
        self._links: dict[str, Link] = {}
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None
        self.changed = threading.Event()  # a listener came
        self.hear: Callable[[Json], Json] | None = None  # what a hook is told

    def open(self) -> None:
        """Listen on a port of loopback, for this user only, and say so in the data directory."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep()
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        self.tell({})

    def tell(self, more: Json) -> None:
        """Write down where we are, and what `more` there is to know (agent, rung)."""
        if self._socket is None:
            return
        told = {"port": self._socket.getsockname()[1], "secret": self._secret, "pid": os.getpid(), **more}
        for path in self._paths:
            new = path.with_name(f"{path.name}.{os.getpid()}")
            with (
                contextlib.suppress(OSError),
                open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file,
            ):
                file.write(json.dumps(told))
                file.close()
                new.replace(path)

    def close(self) -> None:
        """The session is over."""
        for path in self._paths:
            if read(path).get("pid") == os.getpid():
                path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Files of sessions that ended without a word."""
        for path in self._folder.glob("*.json"):
            if not is_running(int(read(path).get("pid", 0))):
                path.unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._socket is not None
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(Link(connection),), daemon=True).start()

    def _greet(self, link: Link) -> None:
        hello = link.read()
        kind = hello.get("kind")
        known = hmac.compare_digest(str(hello.get("secret", "")).encode(), self._secret.encode())
        if known and kind == "hook" and self.hear is not None:
            with contextlib.suppress(OSError):
                link.write({"said": self.hear(hello.get("given") or {})})
        if not known or kind not in KINDS:
            link.close()
            return
        with self._guard:
            busy = kind in self._off or self._live(kind) or (kind == "rewake" and self._live("monitor"))
            if not busy:
                self._links[kind] = link
        with contextlib.suppress(OSError):
            link.write({"busy": bool(busy)})
        if busy:
            link.close()
        else:
            self.changed.set()

    def _live(self, kind: str) -> bool:
        found = self._links.get(kind)
        if found is not None and not found.alive:
            found.close()
            del self._links[kind]
            found = None
        return found is not None

    def live(self, kind: Kind) -> bool:
        """Whether such a listener is there now."""
        with self._guard:
            return self._live(kind)

    def give(self, kind: Kind, text: str) -> None:
        """Have it printed. Raises PushFailed when nobody is there; one that is only slow may still print it."""
        with self._guard:
            link = self._links.get(kind)
            if link is None:
                raise PushFailed(f"no {kind} is there")
            try:
                link.write({"text": text})
                done = bool(link.read().get("done"))
                gone = not done and not link.alive
            except OSError:
                done, gone = False, True
            if not done or kind == "rewake":  # that one ends with the text; a late word would pass for the next one's
                link.close()
                del self._links[kind]
            if gone:
                raise PushFailed(f"the {kind} is gone")


class Monitor:
    """Rung `monitor`. Where our hooks work, the line only announces: the text comes as context of the same request."""

    def __init__(self, listeners: Listeners, hooks_work: Callable[[], bool]) -> None:
        self._listeners = listeners
        self._hooks_work = hooks_work
        self._announced: dict[str, tuple[str, str]] = {}  # what stands in the line -> (marker, text)

    @property
    def works(self) -> bool:
        return self._listeners.live("monitor")

    @property
    def most_chars(self) -> int:
        return HOOK_CHARS if self._hooks_work() else LINE_CHARS

    def push(self, text: str, marker: str = "") -> None:
        if not self._hooks_work():
            self._listeners.give("monitor", one_line(text))
            return
        ticket = secrets.token_hex(4)
        self._announced[ticket] = (marker, text)
        try:
            self._listeners.give("monitor", f"[bridge {ticket}] mail for you; its text comes with this line")
        except PushFailed:
            del self._announced[ticket]
            raise

    def forget(self, marker: str) -> None:
        self._announced = {t: (m, text) for t, (m, text) in self._announced.items() if m != marker}

    def claim(self, prompt: str) -> str | None:
        """The text that a line announced, once."""
        found = next((ticket for ticket in list(self._announced) if f"[bridge {ticket}]" in prompt), None)
        return self._announced.pop(found)[1] if found else None


class Rewake:
    """Rung `rewake`: the waiting hook prints the text and ends, and the client wakes the session with it."""

    most_chars = HOOK_CHARS

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners

    @property
    def works(self) -> bool:
        return self._listeners.live("rewake")

    def push(self, text: str, marker: str = "") -> None:
        self._listeners.give("rewake", text)

    def forget(self, marker: str) -> None:
        return None


def one_line(text: str) -> str:
    """A digest as one line: no text in it can look like the bar that stands between messages."""
    return " | ".join(line.strip() for line in text.replace("|", "¦").replace("\n    ", " ⏎ ").splitlines())


def read(path: Path) -> Json:
    """What a session's file says; empty when there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
