"""Who a session is: the same agent after restart, resume and compaction; two sessions in one project are two agents.

A project has *seats*. A session takes the seat it had before; a new one takes the first that is free, so names stay few
and whoever writes to `claude-parser` reaches the session that works there now. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import IO, Any, Final

from hub.core.slug import slug

RECONNECT_S: Final = 2.0  # a client that reconnects its server ends the old process a moment later
MOST_SEATS: Final = 1000
# what clients call themselves in the handshake, and what people call them
SHORT: Final = {
    "claude-code": "claude",
    "claude-ai": "claude",
    "codex-mcp-client": "codex",
    "gemini-cli-mcp-client": "gemini",
    "cursor-vscode": "cursor",
    "Visual Studio Code": "vscode",
}
WORDS: Final = (
    "otter", "maple", "comet", "raven", "cedar", "ember", "finch", "harbor",
    "jasper", "kestrel", "lotus", "meadow", "nova", "opal", "pebble", "quill",
    "robin", "sage", "tulip", "umber", "violet", "willow", "yarrow", "zephyr",
    "amber", "birch", "coral", "dune", "fern", "grove", "heron", "iris",
)  # fmt: skip


def project_directory(environment: dict[str, str]) -> Path:
    """The project this session works in: what the client says, else the git root above the working directory."""
    if named := environment.get("CLAUDE_PROJECT_DIR"):
        return Path(named)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


class Seat:
    """One seat of a project, held as long as this process lives. Its file remembers the session and the rooms it left."""

    def __init__(self, home: Path, key: str, session: str) -> None:
        self.number = 0
        self._file: IO[str] | None = None
        self._folder, self._key = home / "slots", key
        self._folder.mkdir(parents=True, exist_ok=True)
        if os.name == "nt":  # no file locks to tell seats by: the client's process does
            self.number = os.getppid()
            self.session, self.left = session, set[str]()
            return
        until = time.monotonic() + RECONNECT_S
        while not self._take(session) and time.monotonic() < until:
            time.sleep(0.05)
        if self._file is None:
            next(number for number in range(MOST_SEATS) if self._lock(number))
        found = self._read(self._file)
        self.left = set(found.get("left", ()))
        self.session = session
        self.keep()

    def _take(self, session: str) -> bool:
        """The seat this session had; true when there is none to wait for."""
        for number in range(MOST_SEATS if session else 0):
            path = self._path(number)
            if not path.exists():
                return True
            with path.open() as file:
                mine = self._read(file).get("session") == session
            if mine:
                return self._lock(number)
        return True

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._key}-{number}"

    def _lock(self, number: int) -> bool:
        import fcntl

        file = self._path(number).open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file, self.number = file, number
        return True

    @staticmethod
    def _read(file: IO[str] | None) -> dict[str, Any]:
        if file is None:
            return {}
        file.seek(0)
        try:
            found = json.loads(file.read() or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def recognize(self, session: str) -> bool:
        """The client has said only now which session this is; whether it sat elsewhere before and sits there again."""
        if session == self.session:
            return False
        for number in range(MOST_SEATS if self._file is not None else 0):
            path = self._path(number)
            if not path.exists():
                break
            with path.open() as file:
                sat_here = self._read(file).get("session")
            if sat_here == session and number != self.number and self._move(number):
                self.left = set(self._read(self._file).get("left", ()))
                self.session = session
                return True
        self.session = session
        self.keep()
        return False

    def _move(self, number: int) -> bool:
        """Take another seat, if it is free; ours is then free for others."""
        old = self._file
        if not self._lock(number):
            return False
        if old is not None:
            old.close()
        return True

    def keep(self) -> None:
        """Write down what the next process on this seat should know."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.write(json.dumps({"session": self.session, "left": sorted(self.left)}))
            self._file.flush()

    def free(self) -> None:
        """Leave the seat; the end of the process does it too."""
        if self._file is not None:
            self._file.close()


class Identity:
    """Client + project + seat → one agent: its key, the name it asks for, the room it joins by itself."""

    def __init__(self, home: Path, client: str, name: str, room: str, environment: dict[str, str]) -> None:
        project = project_directory(environment)
        session = environment.get("CLAUDE_CODE_SESSION_ID") or environment.get("BRIDGE_SESSION") or ""
        base = hashlib.sha256(f"{client}\0{project}\0{name}".encode()).hexdigest()[:16]
        self._base, self._given = base, name
        self._seat = Seat(home, base, session)
        at_home = project in (Path.home(), Path("/"))
        short = SHORT.get(client, client)
        self._plain = slug(short if at_home else f"{short}-{project.name}")
        self._wanted = room or ("" if at_home or environment.get("BRIDGE_AUTOJOIN") == "0" else slug(project.name))
        self.title = f"{client} in {project.name}"[:120]
        self._sit()

    def _sit(self) -> None:
        """Who we are on this seat."""
        self.key = hashlib.sha256(f"{self._base}\0{self._seat.number}".encode()).hexdigest()[:24]
        self.name = self._given or seat_name(self._plain, self._seat.number)
        self.room = "" if self._wanted in self._seat.left else self._wanted

    def recognize(self, session: str) -> bool:
        """Learn from a call which session this is, as Codex says it; whether we are another agent from now on."""
        if not self._seat.recognize(session):
            return False
        self._sit()
        return True

    def end(self) -> None:
        """The session is over; its seat is free."""
        self._seat.free()

    def leave(self, room: str) -> None:
        """The agent left: it is not joined by itself again, in this process or the next."""
        self._seat.left.add(room)
        self._seat.keep()
        self.room = "" if room == self.room else self.room

    def enter(self, room: str) -> None:
        """The agent came back by its own wish."""
        if room in self._seat.left:
            self._seat.left.discard(room)
            self._seat.keep()


def seat_name(plain: str, number: int) -> str:
    """The first seat's name is the plain one; the others get a word, each another one."""
    if number == 0:
        return plain
    start = hashlib.sha256(plain.encode()).digest()[0]
    word = WORDS[(start + number) % len(WORDS)]
    return f"{plain}-{word}" if number < len(WORDS) else f"{plain}-{word}-{number // len(WORDS) + 1}"
