"""What becomes of a push: proved, told to the hub once, or dropped by the client and brought again."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_bridge.push.ladder import Rung
from mcp_bridge.push.pusher import LOST_S, Pusher
from mcp_bridge.push.transcript import Transcript
from mcp_bridge.push.ways import PushFailed
from tests.push.test_socket import Log
from tests.push.test_transcript import answer, user
from tests.support.waiting import eventually_sync


class Client:
    """A session whose client takes pushes, drops them, or breaks; and writes its transcript."""

    def __init__(self, folder: Path, **ways: str) -> None:
        self.path = folder / "s.jsonl"
        self.path.write_text("")
        self.now = 100.0
        self.log = Log(0, set(range(1, 101)))
        self.came: list[tuple[str, str]] = []
        self.proved: list[tuple[list[str], str | None]] = []
        self.answers = 0
        self.ways = {rung: ClientWay(self, rung, does) for rung, does in ways.items()}
        self.pusher = Pusher(
            self.ways,  # type: ignore[arg-type]
            self.log.read,
            lambda: False,
            lambda _note: None,
            prove=self.prove,
            transcript=Transcript(lambda: self.path),
            clock=lambda: self.now,
        )

    def prove(self, messages: Sequence[str], cursor: str | None) -> None:
        self.proved.append((list(messages), cursor))

    def write(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def answer(self) -> None:
        self.answers += 1
        self.write(answer(self.answers))

    def step(self, seconds: float = 0) -> None:
        """Time passes; what is lost comes again."""
        self.now += seconds
        self.pusher.settle()
        self.now = max(self.now, self.pusher.free_at)
        self.pusher.once()

    def got(self) -> list[str]:
        """Ids in the order they came into the conversation."""
        return [found for _, text in self.came for found in re.findall(r"id (m1-\d+) from", text)]


class ClientWay:
    def __init__(self, client: Client, rung: str, does: str) -> None:
        self._client, self._rung, self.does = client, rung, does
        self.meanwhile: Callable[[], None] = lambda: None
        self.texts: list[str] = []

    @property
    def works(self) -> bool:
        return self.does != "gone"

    most_chars = 48_000

    def forget(self, marker: str) -> None:
        return None

    def push(self, text: str, marker: str = "") -> None:
        self.meanwhile()
        self.texts.append(text)
        if self.does == "breaks":
            raise PushFailed("broken pipe")
        if self.does == "takes":
            self._client.came.append((self._rung, text))
            self._client.write(user(text))


def test_a_push_is_told_to_the_hub_once_and_only_after_the_model_answered(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="takes")
    client.log.count = 2
    client.step()
    client.step(1)
    assert client.proved == []
    assert client.pusher.coming() == ["m1-1", "m1-2"]
    client.answer()
    client.step(1)
    client.step(1)
    assert client.proved == [(["m1-1", "m1-2"], "2")]
    assert client.pusher.coming() == []


def test_a_rung_that_breaks_leaves_the_message_to_the_next(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="breaks", monitor="takes")
    client.log.count = 1
    client.step()
    assert [rung for rung, _ in client.came] == ["monitor"]


def test_a_dropped_push_comes_again_by_the_next_rung_and_once_only(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="drops", monitor="takes")
    client.log.count = 1
    client.step()
    client.step(LOST_S / 2)
    assert client.came == [], "the client may still be about to write it down"
    client.step(LOST_S)
    client.step(LOST_S * 2)
    assert [rung for rung, _ in client.came] == ["monitor"]
    assert client.got() == ["m1-1"]


def test_a_dropped_push_comes_again_by_the_same_rung_where_no_other_wakes(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="drops")
    client.log.count = 1
    client.step()
    client.ways["socket"].does = "takes"
    client.step(LOST_S + 1)
    client.step(LOST_S + 1)
    assert client.got() == ["m1-1"]


def test_a_later_proof_never_acknowledges_what_the_client_dropped_before(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="drops")
    client.log.count = 1
    client.step()
    client.ways["socket"].does = "takes"
    client.log.count = 2
    client.step(2)
    client.answer()
    client.step(1)
    assert client.proved == [(["m1-2"], None)]
    client.step(LOST_S)
    client.answer()
    client.step(1)
    assert client.got() == ["m1-2", "m1-1"]
    assert client.proved[1:] == [(["m1-1"], "2")]


def test_after_a_page_was_passed_over_no_later_push_acknowledges_it(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="takes")
    client.log.waking = {85, 95}
    client.log.count = 90
    client.step()
    client.log.count = 95
    client.step(1)
    client.answer()
    client.step(1)
    assert {cursor for _, cursor in client.proved} == {None}
    client.pusher.caught_up()
    client.log.waking = {96}
    client.log.count = 96
    client.step(1)
    client.answer()
    client.step(1)
    assert client.proved[-1] == (["m1-96"], "96")


def test_what_the_hub_could_not_be_told_is_told_later(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="takes")
    told, client.pusher._prove = client.prove, failing
    client.log.count = 1
    client.step()
    client.answer()
    with pytest.raises(OSError, match="hub"):
        client.step(1)
    client.pusher._prove = told
    client.step(1)
    assert client.proved == [(["m1-1"], "1")]


def test_what_the_model_has_is_in_no_poll_even_before_the_hub_knows(tmp_path: Path) -> None:
    """Two proofs while the hub is away: the first cannot be told, the second waits behind it."""
    client = Client(tmp_path, socket="takes")
    told, client.pusher._prove = client.prove, failing
    for client.log.count in (1, 2):
        client.pusher.once()
        client.answer()
        with pytest.raises(OSError, match="hub"):
            client.pusher.settle()
    assert sorted(client.pusher.coming()) == ["m1-1", "m1-2"]
    client.pusher._prove = told
    client.step(1)
    assert client.pusher.coming() == []


def test_a_call_that_begins_while_a_push_is_written_leaves_it_out(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="breaks", monitor="takes")
    coming: list[list[str]] = []
    for way in client.ways.values():
        way.meanwhile = lambda: coming.append(client.pusher.coming())
    client.log.count = 1
    client.step()
    assert coming == [["m1-1"], ["m1-1"]]
    client.answer()
    client.step(1)
    assert client.proved == [(["m1-1"], "1")], "a way that broke leaves nothing behind"


def test_what_the_client_dropped_while_more_was_read_is_not_passed_over(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="drops")
    client.log.count = 1
    client.step()
    client.ways["socket"].does = "takes"
    client.log.count = 2

    def read(path: str) -> dict[str, Any]:
        client.pusher._read = client.log.read
        page = client.log.read(path)
        client.now += LOST_S + 1
        client.pusher.settle()
        return page

    client.pusher._read = read
    client.pusher.once()
    client.step(1)
    assert client.got() == ["m1-1", "m1-2"]


def test_a_transcript_that_begins_after_the_push_proves_it_at_once(tmp_path: Path) -> None:
    """A session that has had no prompt yet has none. Looking again only at the next wake-up took up to 30 s."""
    client = Client(tmp_path, socket="drops")
    client.path.unlink()
    client.log.count = 1
    over = threading.Event()
    thread = threading.Thread(target=client.pusher.run, args=(over,))
    thread.start()
    try:
        client.pusher.wake()
        way = client.ways["socket"]
        eventually_sync(lambda: way.texts, what="it is pushed")
        client.write(user(way.texts[0]))
        client.answer()
        eventually_sync(lambda: client.proved == [(["m1-1"], "1")], what="the hub is told")
    finally:
        over.set()
        client.pusher.wake()
        thread.join(10)


def failing(_messages: Sequence[str], _cursor: str | None) -> None:
    raise OSError("the hub is away")


@pytest.mark.parametrize("rung", ["hook", "result"])
def test_a_rung_that_asks_gets_what_waits_once_and_gives_back_what_did_not_arrive(tmp_path: Path, rung: Rung) -> None:
    client = Client(tmp_path)
    client.log.waking = set()
    client.log.count = 2
    assert client.pusher.pull(rung, anything=False) is None, "nothing here may disturb"
    made = client.pusher.pull(rung)
    assert made is not None
    assert made.push.ids == ["m1-1", "m1-2"]
    assert client.pusher.pull(rung) is None
    client.pusher.give_back(made.push)
    assert client.pusher.pull(rung) is not None


@pytest.mark.parametrize("rung", ["hook", "result"])
def test_what_a_rung_that_asks_brought_is_proved_soon_though_nothing_else_happens(tmp_path: Path, rung: Rung) -> None:
    """The thread that looks into the transcript slept until the next heartbeat of the hub."""
    client = Client(tmp_path)
    client.log.waking = set()
    client.log.count = 1
    over = threading.Event()
    thread = threading.Thread(target=client.pusher.run, args=(over,))
    thread.start()
    try:
        made = client.pusher.pull(rung)
        assert made is not None
        client.write(user(made.text))
        client.answer()
        eventually_sync(lambda: [messages for messages, _ in client.proved] == [["m1-1"]], what="the hub is told")
    finally:
        over.set()
        client.pusher.wake()
        thread.join(10)


def test_a_rung_that_asks_leaves_what_wakes_to_a_better_one(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="takes")
    client.pusher.pulls.add("hook")
    client.log.count = 1
    assert client.pusher.pull("hook", anything=False) is None
    client.ways["socket"].does = "gone"
    assert client.pusher.pull("hook", anything=False) is not None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["takes", "drops", "breaks"]), st.sampled_from(["takes", "drops", "gone"]), st.booleans()
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(STEPS)
def test_whatever_the_client_does_nothing_comes_twice_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, bool]]
) -> None:
    client = Client(tmp_path_factory.mktemp("client"), socket="takes", monitor="takes")
    for socket, monitor, answers in steps:
        client.ways["socket"].does, client.ways["monitor"].does = socket, monitor
        client.log.count += 1
        client.step(3)
        if answers:
            client.answer()
    for way in client.ways.values():
        way.does = "takes"
    for _ in range(4):
        client.step(LOST_S + 1)
        client.answer()
    wanted = [f"m1-{n}" for n in range(1, client.log.count + 1)]
    assert sorted(client.got()) == sorted(wanted)
    proved = [message for messages, _ in client.proved for message in messages]
    assert sorted(proved) == sorted(wanted)
