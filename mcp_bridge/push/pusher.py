"""Brings what concerns a session into it: reads the inbox without moving anything, picks a rung, writes one digest.

A push is *in flight* until the client's transcript proves that the model answered after it. What never turned up there
was dropped by the client: it is given back and goes by the next rung, or by the same one again.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from mcp_bridge.push.allowance import Allowance
from mcp_bridge.push.digest import ALL_CHARS, MOST, Digest, digest
from mcp_bridge.push.ladder import WAKING, QuietHours, Rung, Session, choose, fresh, reach, wakes
from mcp_bridge.push.transcript import Transcript
from mcp_bridge.push.ways import PushFailed, Way
from mcp_bridge.recent import KEPT, Recent

SETTLE_S: Final = 0.1  # what comes together goes together
LOST_S: Final = 15.0  # a client writes down within a second what it took
SAME_ANSWER_S: Final = 1.0  # further calls of one answer of a model come sooner; a new answer takes longer
PATIENCE_S: Final = 2.0  # a hook holds up the session: better nothing than late
BEGINS_S: Final = 60.0  # a session writes nothing down before its first prompt
LOOK_S: Final = 0.5  # how often a transcript is read while something is in flight
MESSAGE_LISTS: Final = ("messages", "answers", "last", "questions")  # fields of tool results that hold messages
Json = dict[str, Any]
ReadHub = Callable[[str], Json]
Prove = Callable[[Sequence[str], str | None], None]


def local_minute() -> int:
    """Minutes after midnight, by this machine's clock."""
    now = datetime.now().astimezone()
    return now.hour * 60 + now.minute


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes into the session together; `cursor` acknowledges it. It was read from `began`; `reached` is where to go on."""

    entries: Sequence[Mapping[str, Any]]
    cursor: str | None
    began: str
    reached: str


@dataclass(slots=True)
class Push:
    """One digest on its way to the model. `cursor` acknowledges it and all before; `came_from` is where reading was."""

    marker: str
    rung: Rung
    ids: Sequence[str]
    cursor: str | None
    came_from: str
    at: float
    proved: bool = False
    elsewhere: set[str] = field(default_factory=set)  # of `ids`, what another way has shown meanwhile


@dataclass(frozen=True, slots=True)
class Made:
    """A digest that counts as on its way; `reached` is where reading goes on, `hole` what held before it was made."""

    text: str
    push: Push
    reached: str
    hole: bool


def _nothing_proves(_messages: Sequence[str], _cursor: str | None) -> None:
    return None


class Pusher:
    """One per relay. `read` gets a path of the hub's API as this agent; `waiting` says whether a call is open that shows
    messages: what it brings is not known yet, so nothing is handed over meanwhile.

    `prove` tells the hub that the model has these messages, and everything up to a cursor when one is given.
    """

    def __init__(
        self,
        ways: Mapping[Rung, Way],
        read: ReadHub,
        waiting: Callable[[], bool],
        note: Callable[[str], None],
        *,
        prove: Prove = _nothing_proves,
        transcript: Transcript | None = None,
        off: frozenset[Rung] = frozenset(),
        quiet: QuietHours | None = None,
        hold: Callable[[], bool] = lambda: False,
        recall: Callable[[str], bool] = lambda _marker: False,
        minute: Callable[[], int] = local_minute,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ways = ways
        self._read = read
        self._waiting = waiting
        self._note = note
        self._prove = prove
        self._transcript = transcript
        self._off = off
        self._quiet = quiet or QuietHours()
        self._hold = hold  # the session would take a push in only later: better by a tool result, or when it is idle
        self._recall = recall  # take back a text that the client keeps for after the turn; whether it had not gone yet
        self._minute = minute
        self._clock = clock
        self._known = Recent()
        self._failed: dict[str, set[Rung]] = {}  # rungs that lost this message
        self._flights: list[Push] = []
        self._after = ""  # pushed up to here; what was acknowledged counts by itself
        self._allowance = Allowance(clock)
        self._hole = False  # something before `_after` was passed over, so only `poll` may acknowledge
        self._proofs: list[tuple[list[str], str | None]] = []  # to tell the hub
        self._untold: set[str] = set()  # messages of proofs that the hub has not taken yet
        self._turn = threading.Lock()  # one at a time reads what is next and hands it over
        self._guard = threading.RLock()  # short: the memory below
        self._grown = threading.Event()
        self.pulls: set[Rung] = {"result"}  # rungs that have asked for mail in this session
        self.agent = "you"

    # --- what there is ----------------------------------------------------------------------------------------------

    def offers(self) -> frozenset[Rung]:
        """The rungs that are there now, `wait` left out."""
        pushing: set[Rung] = {rung for rung, way in self._ways.items() if way.works}
        return frozenset(pushing | self.pulls) - self._off

    @property
    def rung(self) -> Rung | None:
        """The best rung, while no call of ours is open."""
        return choose(Session(self.offers(), self._off))

    @property
    def reach(self) -> str:
        return reach(self.rung)

    @property
    def free_at(self) -> float:
        """When the next push may be made, by the clock."""
        return self._allowance.free_at

    def coming(self) -> list[str]:
        """Messages that a push brings or has brought, as far as the hub does not know: no call needs to show them.

        A call has to count as open before it asks: what is taken after that waits for the call, so neither misses the other.
        """
        with self._guard:
            flying = [push for push in self._flights if self._proves or push.rung == "result"]
            return [*(message for push in flying for message in push.ids), *self._untold]

    @property
    def _proves(self) -> bool:
        return self._transcript is not None and self._transcript.readable

    def caught_up(self) -> None:
        """A `poll` has shown everything that waited."""
        self._hole = False

    def knows(self, messages: Iterable[str]) -> set[str]:
        """Those of these that the session has, or gets by a push."""
        with self._guard:
            return {message for message in messages if message in self._known}

    def shown(self, messages: Iterable[str]) -> None:
        """The session has these by another way; they will not be pushed."""
        with self._guard:
            ids = list(messages)
            self._known.add(ids)
            for push in self._flights:
                push.elsewhere |= set(push.ids).intersection(ids)

    # --- the thread -------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something concerns the agent, or time passed: look again."""
        self._grown.set()

    def run(self, over: threading.Event) -> None:
        """Push until `over`; for a thread of its own."""
        while not over.is_set():
            woken = self._grown.wait(LOOK_S if self._open else 30)
            self._grown.clear()
            try:
                if self.settle() or woken or not self._open:
                    if over.wait(max(SETTLE_S, self.free_at - self._clock())):
                        return
                    if not self.once() and (self._waiting() or self._hold()):
                        self._grown.set()  # the open call may end without bringing it
            except Exception as error:  # the hub restarts, or answers oddly: the next wake-up looks again
                self._note(f"push waits: {type(error).__name__}")
                over.wait(1)
                self._grown.set()

    @property
    def _open(self) -> bool:
        """Whether the transcript may soon tell something that the hub should know; a new session has none at first."""
        if self._proofs or not self._flights or self._transcript is None:
            return bool(self._proofs)
        return self._proves or self._clock() - self._flights[-1].at < BEGINS_S

    def once(self) -> bool:
        """Look into the inbox and push what should be pushed; whether something was."""
        with self._turn:
            if self._waiting() or self._hold() or not self.offers() & WAKING:
                return False
            found = self._next()
            return found is not None and self._push(found)

    def _push(self, found: Batch) -> bool:
        """By the best rung that works; a rung that fails leaves it to the next. Which, the receipts never tell."""
        failed = self._failed_for(found.entries)
        while (rung := choose(Session(self.offers() & WAKING, failed))) is not None:
            made = self._take(found, rung, self._ways[rung].most_chars)
            if made is None:
                return False
            try:
                self._ways[rung].push(made.text, made.push.marker)
            except PushFailed as error:
                self._note(f"the way {rung} failed ({error}); the next one has to bring it")
                self._undo(made)
                failed |= {rung}
                continue
            finally:
                self._allowance.spend()
            self._take_back_shown(made.push)
            return True
        return False

    def _take_back_shown(self, push: Push) -> None:
        """What another way showed while it was being written goes no further, where it can be taken back."""
        if push.elsewhere and self._recall(push.marker):
            with self._guard:
                self._lose(push, failed=False)
            self._grown.set()  # what was not shown goes again

    def _failed_for(self, entries: Sequence[Mapping[str, Any]]) -> frozenset[Rung]:
        """Rungs that lost one of these before; when every one that wakes has, each may try again."""
        failed = frozenset(rung for entry in entries for rung in self._failed.get(str(entry["id"]), ()))
        return failed if (self.offers() & WAKING) - failed else frozenset()

    # --- rungs that ask ---------------------------------------------------------------------------------------------

    def pull(self, rung: Rung, *, anything: bool = True, most_chars: int = ALL_CHARS) -> Made | None:
        """What waits, for a rung that asks at a moment of its own; None when a better way brings it, or nothing waits.

        With `anything` also what may not disturb: it rides along. If it does not get there, give it back.
        """
        if (
            rung in self._off
            or self._waiting()
            or not (anything or self._may_pull(rung))
            or not self._turn.acquire(timeout=PATIENCE_S)
        ):
            return None
        try:
            found = self._next(anything=anything)
            if found is None:
                return None
            if not anything and choose(Session(self._offers_now(), self._failed_for(found.entries))) != rung:
                return None
            made = self._take(found, rung, most_chars)
            self._grown.set()  # from now on the thread looks for what the transcript tells of it
            return made
        finally:
            self._turn.release()

    def _may_pull(self, rung: Rung) -> bool:
        """Whether this could be the best rung for something; saves reading when it cannot."""
        return choose(Session(self._offers_now())) == rung or bool(self._failed)

    def _offers_now(self) -> frozenset[Rung]:
        """The rungs that would bring something before this turn ends."""
        return self.offers() - WAKING if self._hold() else self.offers()

    def give_back(self, push: Push) -> None:
        """It did not get there: the next rung has to bring it."""
        with self._guard:
            self._lose(push)
        self._grown.set()

    def confirm(self, rung: Rung) -> None:
        """Whatever this rung brought, the model has: a call of a later answer came. A transcript, if there is one, knows better."""
        if self._proves:
            return
        until = self._clock() - SAME_ANSWER_S
        with self._guard:
            for push in self._flights:
                push.proved = push.proved or (push.rung == rung and push.at <= until)
            self._collect()
        self._tell()

    # --- one digest -------------------------------------------------------------------------------------------------

    def _take(self, found: Batch, rung: Rung, most_chars: int = ALL_CHARS) -> Made | None:
        """One digest that counts as on its way from now on, before it is written: a call that begins meanwhile leaves it out.

        None when a call that shows messages is open, or when these have to be read again.
        """
        with self._guard:
            if self._waiting():
                return None
            shown = len(fresh(found.entries, self._known)) < len(found.entries)
            if shown or self._after != found.began:  # or something before these was lost, and reading goes back to it
                self._grown.set()
                return None
            made, passed = self._make(found, rung, most_chars)
            self._expect(made.push.marker, asked=rung not in WAKING)
            self._known.add(made.push.ids)
            self._after = made.reached
            self._hole = made.hole or passed
            self._flights.append(made.push)
            if not self._proves:
                del self._flights[:-MOST]  # nothing will ever tell about them
            return made

    def _make(self, found: Batch, rung: Rung, most_chars: int) -> tuple[Made, bool]:
        """The digest, and whether it leaves a hole: then only `poll` may acknowledge what came before it."""
        marker = secrets.token_hex(6)
        proof = self._proves or rung == "result"  # the next call confirms that one
        text = self._digest(found, marker, most_chars, proof)
        ids = [str(entry["id"]) for entry in text.shown]
        whole = len(text.shown) == len(found.entries)
        cursor = found.cursor if whole else None
        push = Push(marker, rung, ids, cursor, self._after, self._clock())
        made = Made(text.text, push, found.reached if whole else self._after, self._hole)
        return made, whole and found.cursor is None

    def _undo(self, made: Made) -> None:
        """It was not written: as if it had never been taken."""
        with self._guard:
            self._forget(made.push.marker)
            if made.push not in self._flights:
                return
            self._flights.remove(made.push)
            for message in set(made.push.ids) - made.push.elsewhere:
                self._known.discard(message)
            self._hole = made.hole
            if self._after == made.reached:  # else something before it was lost, and reading goes back further
                self._after = made.push.came_from

    def _digest(self, found: Batch, marker: str, most_chars: int, proof: bool) -> Digest:
        return digest(self.agent, found.entries, found.cursor, marker, proof=proof, most_chars=most_chars)

    def _expect(self, marker: str, *, asked: bool = False) -> None:
        with self._guard:
            if self._transcript is not None:
                self._transcript.expect(marker, asked=asked)

    def _forget(self, marker: str) -> None:
        with self._guard:
            if self._transcript is not None:
                self._transcript.forget(marker)

    # --- what became of it ------------------------------------------------------------------------------------------

    def settle(self, wait_s: float = 0) -> bool:
        """Look what became of pushes, for at most `wait_s`; whether something has to be pushed again."""
        until = self._clock() + wait_s
        lost = self.recall()
        while True:
            with self._guard:
                lost = self._settle() or lost
                over = not self._flights or not self._proves or self._clock() >= until
            if over:
                self._tell()
                return lost
            time.sleep(0.03)

    def recall(self) -> bool:
        """Take back what the client would bring only after the turn that runs, for results bring it in the turn."""
        if not self._overtaken():
            return False
        with self._turn:  # what is just being written can be taken back after that
            back = [push for push in self._overtaken() if self._recall(push.marker)]
            with self._guard:
                for push in back:
                    self._lose(push, failed=False)
        return bool(back)

    def _overtaken(self) -> list[Push]:
        with self._guard:
            if not self._flights or self._transcript is None:
                return []
            overtaken = self._transcript.overtaken()
            return [push for push in self._flights if push.marker in overtaken]

    def _settle(self) -> bool:
        if not self._flights or self._transcript is None or not self._transcript.readable:
            return False
        stages = self._transcript.look()
        lost = False
        for push in list(self._flights):
            stage = stages.get(push.marker)
            push.proved = push.proved or stage == "answered"
            if stage is None and self._clock() - push.at > LOST_S:
                self._note(f"the client dropped what the way {push.rung} brought; it comes again")
                self._lose(push)
                lost = True
        self._collect()
        return lost

    def _collect(self) -> None:
        """Take out what is proved, with the cursor that acknowledges it when nothing before is still open."""
        messages = [message for push in self._flights if push.proved for message in push.ids]
        cursor = None
        for push in self._flights:
            if not push.proved or push.cursor is None:
                break
            cursor = push.cursor
        if messages:
            self._proofs.append((messages, cursor))
            self._untold.update(messages)
        for push in self._flights:
            if push.proved:
                self._forget(push.marker)
        self._flights = [push for push in self._flights if not push.proved]

    def _tell(self) -> None:
        """Tell the hub what is proved; what cannot be told now is told later."""
        with self._guard:
            proofs, self._proofs = self._proofs, []
        try:
            while proofs:
                self._prove(*proofs[0])
                with self._guard:
                    self._untold.difference_update(proofs[0][0])
                del proofs[0]
        finally:
            if proofs:
                with self._guard:
                    self._proofs[:0] = proofs

    def _lose(self, push: Push, *, failed: bool = True) -> None:
        self._forget(push.marker)
        if (way := self._ways.get(push.rung)) is not None:
            way.forget(push.marker)
        if push not in self._flights:
            return
        later = self._flights.index(push)
        self._flights.remove(push)
        self._after = push.came_from
        for other in self._flights:
            other.cursor = None  # it would acknowledge what is lost
        for other in self._flights[later:]:
            other.came_from = push.came_from  # should it be lost too, reading goes back to the first
        for message in push.ids:
            if message not in push.elsewhere:
                self._known.discard(message)
            if failed:
                self._failed.setdefault(message, set()).add(push.rung)
            while len(self._failed) > KEPT:
                del self._failed[next(iter(self._failed))]

    # --- reading ----------------------------------------------------------------------------------------------------

    def _next(self, *, anything: bool = False) -> Batch | None:
        """The next page that may disturb now, without what this session has; None when there is none.

        Pages that may not are passed over, so that a session far behind is still told what concerns it; then only
        `poll` may acknowledge.
        """
        quiet = self._quiet.covers(self._minute())
        began = after = self._after
        whole = not self._hole
        while True:
            page = self._page(after)
            entries = fresh(page["messages"], self._known)
            if wakes(entries, page.get("waking", ()), quiet=quiet) or (anything and entries):
                cursor = page["cursor"] if whole and not page.get("gaps") else None
                return Batch(entries, cursor, began, page["cursor"])
            if not page.get("has_more"):
                return None
            after, whole = page["cursor"], whole and not entries

    def _page(self, after: str) -> Json:
        where = f"/v1/inbox?limit={MOST}&wake=concerned&max_bytes=60000"
        try:
            return self._read(where + (f"&after={quote(after)}" if after else ""))
        except ValueError:  # a cursor of a history that was restored or reset
            self._after = ""
            return self._read(where)


def ids_in(result: Any) -> list[str]:
    """Ids of the messages that a tool result (or a finished task's) shows."""
    if not isinstance(result, dict):
        return []
    inner = result.get("result")
    content = result.get("structuredContent") or (inner.get("structuredContent") if isinstance(inner, dict) else None)
    if not isinstance(content, dict):
        return []
    lists = [content.get(name) for name in MESSAGE_LISTS]
    return [str(m["id"]) for part in lists if isinstance(part, list) for m in part if isinstance(m, dict) and "id" in m]


def without(result: Json, left_out: Collection[str]) -> Json:
    """A tool result without these messages, in both of its forms; nothing in it then acknowledges what is left out."""
    content = {name: value for name, value in result["structuredContent"].items() if name != "cursor"}
    for name in MESSAGE_LISTS:
        if isinstance(content.get(name), list):
            content[name] = [message for message in content[name] if message.get("id") not in left_out]
    blocks = [
        {**block, "text": _lines_without(block["text"], left_out)} if block.get("type") == "text" else block
        for block in result.get("content", ())
    ]
    return {**result, "structuredContent": content, "content": blocks}


def _lines_without(text: str, left_out: Collection[str]) -> str:
    """Each message begins with its id in brackets; further lines of its text are indented."""
    kept, leaves = [], False
    for line in text.split("\n"):
        leaves = any(line.startswith(f"[{message}] ") for message in left_out) or (leaves and line.startswith("    "))
        kept += [] if leaves else [line]
    return "\n".join(kept)
