"""Operations on a database in memory, one after the other on this thread: thousands of histories in seconds."""

from __future__ import annotations

import sqlite3
from typing import Any, TypeVar

from hub import features
from hub.core.access import ALL_SCOPES, Principal
from hub.core.call import Call
from hub.core.operation import Request, Result
from hub.log.handler import HANDLERS
from hub.storage.migrate import apply_migrations
from hub.storage.sqlite import DIALECT, _Memo, _WriteTx

R = TypeVar("R", bound=Result)


class MemoryHub:
    """The real handlers on the real schema, without a loop, a disk or a commit: a call is kept or undone as a whole."""

    def __init__(self, *, seed: int = 0) -> None:
        features.load_registry()
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.row_factory = sqlite3.Row
        apply_migrations(connection, features.migrations(), DIALECT)
        connection.execute("begin")
        for agent, kind in ((1, "human"), (2, "script"), (3, "code"), (4, "script")):
            fields = (agent, f"agent-{agent}", kind)
            connection.execute("insert into agent values (1, ?, ?, ?, 1, '', '[]', 0, null)", fields)
        self.tx = _WriteTx(connection, _Memo())
        self.now_ms = 1_800_000_000_000
        self._connection = connection
        self._noise = seed

    def random(self, count: int) -> bytes:
        """Bytes that are never the same twice and always the same in a rerun."""
        self._noise += 1
        return bytes((self._noise * 0x9E3779B97F4A7C15 % 256**count).to_bytes(count, "big"))

    def reset_noise(self) -> None:
        """Start the bytes over, so that one history does not depend on the one before."""
        self._noise = 0

    def call(self, agent: int) -> Call:
        person = Principal(agent=agent, name=f"agent-{agent}", kind="script", scopes=ALL_SCOPES, owner=1)
        return Call(person, self.now_ms, self.random, lambda _agent: ("online", "poll"))

    def run(self, agent: int, request: Request[R]) -> R:
        """The result for this agent; what a refused call did is undone."""
        try:
            result: Any = HANDLERS[type(request)](self.tx, self.call(agent), request)
        except BaseException:
            self.tx.undo()
            raise
        self.tx.keep()
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        self._connection.close()
