"""The store as the rest of the hub sees it: synchronous transaction bodies, committed in groups.

A body is a plain function of a `Tx`. It has no effects outside the transaction and may run twice. SQL is the common
subset of SQLite and PostgreSQL with `:name` parameters. Which statements run belongs to the features, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, LiteralString, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:  # the commands that only need StoreError must not load the models
    from hub.core.event import Event
    from hub.storage.changes import Changes

T = TypeVar("T")
A = TypeVar("A")


class Row(Protocol):
    """One result row: by position or by column name."""

    def __getitem__(self, key: int | str, /) -> Any: ...


Frame: TypeAlias = "bytes | Event"
"""Wire bytes, or the event that they are made of when the first reader asks for them."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Stream `log` has grown to `head`; `frames` are its new (seq, frame), oldest first, maybe none.

    `rewritten` says that older events were blanked in place. A growth of another process carries no frames.
    A negative `log` is the wake-up topic of the agent `-log`.
    """

    log: int
    head: int
    frames: tuple[tuple[int, Frame], ...] = ()
    rewritten: bool = False


_seq = itemgetter(0)


def merge_growth(growth: Sequence[tuple[int, int, Frame]]) -> tuple[Growth, ...]:
    """What one transaction added, per stream."""
    by_log: dict[int, list[tuple[int, Frame]]] = {}
    for stream, seq, frame in growth:
        by_log.setdefault(stream, []).append((seq, frame))
    return tuple(
        Growth(
            log=stream,
            head=max(map(_seq, marks)),
            frames=tuple([mark for mark in marks if mark[1]]),
            rewritten=min(map(_seq, marks)) < 0,
        )
        for stream, marks in by_log.items()
    )


class Tx(Protocol):
    """One transaction body's view of the store. Dies with the body; never hands out a cursor."""

    def rows(self, sql: LiteralString, /, **params: Any) -> list[Row]:
        """All rows, including what earlier bodies of the same batch wrote."""
        ...

    def row(self, sql: LiteralString, /, **params: Any) -> Row | None:
        """The first row or None."""
        ...

    def peek(self, sql: LiteralString, /, **params: Any) -> Row | None:
        """Like `row`, but may miss rows still staged: only behind `memo`, whose writers also `remember`."""
        ...

    def run(self, sql: LiteralString, /, **params: Any) -> int:
        """Execute one statement now; the number of rows it changed."""
        ...

    def stage(self, table: LiteralString, row: tuple[Any, ...]) -> None:
        """Insert a complete row (all columns, table order) with the rest of the batch: one statement per table."""
        ...

    def defer(self, key: Hashable, sql: LiteralString, /, **params: Any) -> None:
        """Run a statement once per batch, before COMMIT; a later one with the same key replaces it.

        Those of different keys run in any order: each key stands for rows that no other one's statement touches.
        """
        ...

    def memo(self, key: Hashable, load: Callable[[], T]) -> T:
        """A value kept in memory between transactions (where this process is the only writer). Must be immutable."""
        ...

    def remember(self, key: Hashable, value: object) -> None:
        """What `memo(key, …)` gives from now on; discarded with the body or the COMMIT if either fails."""
        ...

    def find_rare(self, key: Hashable, load: Callable[[], T | None], *, sure: bool) -> T | None:
        """Like `memo`, for a key that is nearly always new and that nobody asks for again.

        Unless it must be `sure`, it may answer None without looking: then the body that goes on as if the key were new
        must stage the row whose unique constraint says otherwise, or raise. In both cases it runs again with the truth.
        """
        ...

    def remember_for_batch(self, key: Hashable, value: object) -> None:
        """Like `remember`, until the batch's rows are written: afterwards `load` finds them."""
        ...

    def forget(self, key: Hashable) -> None:
        """Let the next `memo(key, …)` load again."""
        ...

    def grew(self, log: int, seq: int, frame: Frame) -> None:
        """After COMMIT: tell readers of `log` that it has grown to `seq`."""
        ...

    def rewrote(self, log: int) -> None:
        """After COMMIT: events of `log` were blanked in place, so copies in memory must go."""
        ...

    def wake(self, topic: int) -> None:
        """After COMMIT: wake whoever waits on `topic` (an agent is minus its id)."""
        ...

    def each(self, part: Callable[[Tx, A], T], items: Iterable[A]) -> list[T | Exception]:
        """Run `part` for one item after the other; each is kept or, when it raises, undone by itself.

        Results, or what was raised, in the same order. Raises itself only what ends the transaction. The body that
        calls it, once, may go on; when it raises afterwards nothing of the parts stays either.
        """
        ...


@dataclass(frozen=True, slots=True)
class Migration:
    """A named change of the schema, in SQL both stores understand after `dialect` words are replaced.

    Words: `{id}` an automatic integer primary key, `{int}` a 64-bit integer, `{real}`, `{text}`, `{blob}`,
    `{without_rowid}` SQLite's clustered tables. Statements are separated by `;` at line ends.
    """

    name: str
    sql: str

    def statements(self, dialect: Mapping[str, str]) -> list[str]:
        text = self.sql
        for word, meaning in dialect.items():
            text = text.replace("{" + word + "}", meaning)
        return [part.strip() for part in text.split(";\n") if part.strip().rstrip(";")]


Ended = Callable[[Any, Exception | None], None]
"""Takes what a body returned, or why the write failed. It must not raise."""

Ready = Callable[[Any], None]
"""Takes what a body returned when COMMIT has not: to prepare an answer, which nobody may see yet. It must not raise."""


class Store(Protocol):
    """Transactions over rows; wake-ups after commit. One per hub process."""

    on_growth: Callable[[Sequence[Growth]], None]
    watched: Callable[[], Iterable[int]]  # what somebody waits on: its growth by others must not be missed for long
    locking: bool  # whether `locks` matter: several writers can meet
    changes: Changes | None  # None where others write too

    async def write(self, body: Callable[[Tx], T], *, locks: Sequence[int] = ()) -> T:
        """Run `body` under the locks of these streams.

        Returns or raises only after COMMIT; Unavailable means that the outcome is unknown.
        """
        ...

    def begin(self, body: Callable[[Tx], Any], ended: Ended, ready: Ready | None = None) -> None:
        """Like `write`, under way when this returns; `ended` is called on the loop. Only where `locking` is false.

        `ready` is called before it, while the disk works, unless the body raised.
        """
        ...

    async def read(self, body: Callable[[Tx], T], *, long: bool = False) -> T:
        """Run `body` on one snapshot. `long` moves it to a thread; short ones run at once on the loop."""
        ...

    async def open(self, migrations: Sequence[Migration]) -> None:
        """Lock, migrate, start. Raises StoreError with what to do when the data cannot be opened safely."""
        ...

    async def scrub(self) -> bool:
        """Make what was blanked or deleted unreadable in the store's files; false when it has to be tried again."""
        ...

    async def drain(self) -> None:
        """Finish what was accepted, then close."""
        ...

    def health(self) -> str | None:
        """None when writes work, else why not."""
        ...


class StoreError(RuntimeError):
    """The data cannot be opened safely; the message says what to do."""
