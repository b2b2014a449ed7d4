"""The queue of a Codex session, against what the real client wrote and answered (0.169.0)."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_bridge.push import codex
from mcp_bridge.push.codex import CodexSession, Rollout
from mcp_bridge.push.digest import ALL_CHARS
from mcp_bridge.push.ladder import WAKING, switched_off
from mcp_bridge.push.pusher import Pusher
from mcp_bridge.push.ways import PushFailed

RECORDED = Path(__file__).parent / "fixtures" / "codex-rollout.jsonl"
LINES = RECORDED.read_text("utf-8").splitlines(keepends=True)
THREAD = "01a215ff-f978-7e81-ad58-0708ce248d55"
MARKER = "0748228299ec"
META = {
    "callId": "call_1_0",
    "threadId": THREAD,
    "sessionId": THREAD,
    "x-codex-turn-metadata": {"session_id": THREAD, "turn_trigger": "user", "codex_version": "0.169.0"},
}
SERVER = """#!{python}
import json, os, sys
said = open({log!r}, "a")
said.write(json.dumps({{"argv": sys.argv[1:], "token": os.environ.get("BRIDGE_TOKEN"), "home": os.environ["CODEX_HOME"]}}) + "\\n")
for line in sys.stdin:
    said.write(line)
    said.flush()
    frame = json.loads(line)
    if frame["method"] == "initialize":
        print(json.dumps({{"id": frame["id"], "result": {{"userAgent": "mcp_bridge/0.169.0"}}}}), flush=True)
        print(json.dumps({{"method": "thread/started", "params": {{}}}}), flush=True)
    if frame["method"] == "thread/queue/add":
        print(json.dumps({{"id": frame["id"], **json.loads({answer!r})}}), flush=True)
    if frame["method"] == "thread/queue/delete":
        print(json.dumps({{"id": frame["id"], "result": {{"deleted": {deleted!r}}}}}), flush=True)
"""


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Session:
    """A session directory with a rollout that grows, and an app server that answers as recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.time = Time()
        self.file = folder / "sessions" / "2026" / "11" / "26" / f"rollout-2026-11-26T03-57-06-{THREAD}.jsonl"
        self.file.parent.mkdir(parents=True)
        self.codex = CodexSession(folder, str(folder / "codex"))
        self.rollout = Rollout(self.codex.rollout, self.time)
        self.answers()

    def answers(self, answer: str = '{"result": {"queuedSubmission": {"id": "q1"}}}', *, deleted: bool = True) -> None:
        program = self.folder / "codex"
        program.write_text(SERVER.format(python=sys.executable, log=str(self.log), answer=answer, deleted=deleted))
        program.chmod(0o755)

    def write(self, start: int, end: int) -> None:
        with self.file.open("a") as file:
            file.writelines(LINES[start:end])

    def said(self) -> list[dict[str, object]]:
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def asked(self) -> list[str]:
        """What was asked of the queue, in order."""
        methods = [str(frame.get("method", "")) for frame in self.said()]
        return [method.removeprefix("thread/queue/") for method in methods if method.startswith("thread/queue/")]

    def begin_turn(self) -> None:
        """A turn for something else began, and goes on."""
        self.write(0, 4)
        assert self.rollout.busy
        self.time.now += codex.BEGUN_S


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_the_way_is_there_from_the_first_tool_call_on(session: Session) -> None:
    before, news, after = session.codex.works, session.codex.notice(META), session.codex.works
    assert (before, news, after) == (False, True, True)
    assert not session.codex.notice(META), "it is news once"


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {**META, "threadId": "../../etc/passwd"},
        {**META, "threadId": 7},
        {**META, "x-codex-turn-metadata": {"turn_trigger": "exec"}},
        {**META, "x-codex-turn-metadata": {"turn_trigger": "user", "thread_source": "subagent"}},
    ],
)
def test_a_session_that_ends_with_its_turn_or_has_no_name_offers_none(
    session: Session, meta: dict[str, object]
) -> None:
    assert not session.codex.notice(meta)
    assert not session.codex.works


def test_a_hook_names_the_session_before_its_first_call_and_offers_no_queue_by_itself(session: Session) -> None:
    assert session.codex.asks({"threadId": THREAD}, THREAD)
    session.write(0, 4)
    assert session.rollout.busy, "its rollout is known"
    assert not session.codex.works, "it may be one that ends with its turn"
    assert session.codex.notice(META)
    assert session.codex.works


@pytest.mark.parametrize("known", [True, False])
def test_a_hook_of_a_subagent_is_not_the_sessions(session: Session, known: bool) -> None:
    if known:
        session.codex.notice(META)
    other = THREAD.replace("01a2", "01a3")
    assert not session.codex.asks({"threadId": other}, THREAD)
    assert not session.codex.asks({"threadId": "../x"}, "../x")
    assert session.codex.thread == (THREAD if known else "")


def test_a_text_goes_over_stdin_into_the_sessions_queue(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_TOKEN", "secret")
    session.codex.notice(META)
    session.codex.push("two\nlines", MARKER)
    start, *frames = session.said()
    assert start == {"argv": ["app-server"], "token": None, "home": str(session.folder)}
    assert [frame["method"] for frame in frames] == ["initialize", "initialized", "thread/queue/add"]
    assert frames[-1]["params"] == {
        "threadId": THREAD,
        "clientUserMessageId": f"bridge-{MARKER}",
        "input": [{"type": "text", "text": "two\nlines"}],
    }


def test_a_codex_that_does_not_know_the_queue_is_asked_once(session: Session) -> None:
    session.answers('{"id": null, "error": {"code": -32600, "message": "unknown variant `thread/queue/add`"}}')
    session.codex.notice(META)
    with pytest.raises(PushFailed, match="unknown variant"):
        session.codex.push("x")
    assert not session.codex.works


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho not json\n"])
def test_a_program_that_fails_leaves_it_to_the_next_rung(session: Session, program: str) -> None:
    (session.folder / "codex").write_text(program)
    session.codex.notice(META)
    with pytest.raises(PushFailed):
        session.codex.push("x")
    assert session.codex.works, "it may work the next time"


def test_a_server_that_hangs_is_given_up(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codex, "LIMIT_S", 0.2)
    (session.folder / "codex").write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    session.codex.notice(META)
    with pytest.raises(PushFailed):
        session.codex.push("x")


def test_a_missing_program_offers_no_way(session: Session) -> None:
    session.codex.program = ""
    session.codex.notice(META)
    assert not session.codex.works


def test_the_recorded_session_is_busy_in_its_turns_only(session: Session) -> None:
    assert not session.rollout.busy, "nothing is known of a session without a name"
    session.codex.notice(META)
    seen = []
    for place in range(len(LINES)):
        session.write(place, place + 1)
        seen.append(session.rollout.busy)
    assert seen == [False, *[True] * 5, False, *[True] * 3, False]


def test_the_models_answer_after_the_text_is_the_proof(session: Session) -> None:
    session.codex.notice(META)
    session.rollout.expect(MARKER)
    stages = []
    for place in range(len(LINES)):
        session.write(place, place + 1)
        stages.append(session.rollout.look()[MARKER])
    assert stages == [*["queued"] * 8, "placed", "answered", "answered"]


def test_a_text_that_an_idle_session_never_took_is_given_back(session: Session) -> None:
    session.codex.notice(META)
    session.write(0, 7)
    session.rollout.expect(MARKER)
    assert session.rollout.look() == {MARKER: "queued"}
    session.time.now = codex.TAKEN_S + 1
    assert session.rollout.look() == {MARKER: None}


def test_a_text_waits_for_the_end_of_a_turn_however_long_it_takes(session: Session) -> None:
    session.codex.notice(META)
    session.write(0, 4)
    session.rollout.expect(MARKER)
    session.time.now = 10 * codex.TAKEN_S
    assert session.rollout.look() == {MARKER: "queued"}


class Pushes:
    """A pusher with one waiting message and the queue; `while_writing` is done once the text is in the queue."""

    def __init__(self, session: Session) -> None:
        self._codex = session.codex
        self.while_writing: Callable[[], None] = lambda: None
        self.pusher = Pusher(
            {"queue": self},
            lambda _path: {"messages": [dict(MESSAGE)], "waking": ["m1"], "cursor": "c"},
            lambda: False,
            lambda _text: None,
            transcript=session.rollout,
            hold=lambda: session.rollout.busy,
            recall=session.codex.recall,
        )

    @property
    def works(self) -> bool:
        return self._codex.works

    most_chars = ALL_CHARS

    def push(self, text: str, marker: str = "") -> None:
        self._codex.push(text, marker)
        self.while_writing()

    def forget(self, marker: str) -> None:
        self._codex.forget(marker)


MESSAGE = {"id": "m1", "from": "ada", "room": "proj", "text": "hi"}


@pytest.fixture
def pushes(session: Session) -> Pushes:
    session.codex.notice(META)
    return Pushes(session)


def test_a_busy_session_is_not_queued_for(session: Session, pushes: Pushes) -> None:
    session.write(0, 4)
    assert not pushes.pusher.once()
    session.write(4, 7)
    assert pushes.pusher.once(), "its turn is over"
    assert not pushes.pusher.once(), "it has it"


def test_a_text_that_a_turn_overtook_on_its_way_into_the_queue_is_taken_back_for_poll(
    session: Session, pushes: Pushes
) -> None:
    pushes.while_writing = session.begin_turn
    assert pushes.pusher.once()
    assert pushes.pusher.coming() == ["m1"], "a poll would leave it out"
    assert pushes.pusher.settle(), "every tool call does this first"
    assert pushes.pusher.coming() == []
    assert session.asked() == ["add", "delete"]
    assert session.said()[-1]["params"] == {"threadId": THREAD, "queuedSubmissionId": "q1"}
    session.write(4, 7)
    assert pushes.pusher.once(), "no poll came in that turn: it goes into the queue after all"


def test_a_poll_that_comes_while_the_text_is_being_written_waits_and_takes_it_back(
    session: Session, pushes: Pushes
) -> None:
    settled: list[bool] = []
    poll = threading.Thread(target=lambda: settled.append(pushes.pusher.settle()))

    def write() -> None:
        session.begin_turn()
        poll.start()
        assert not threading.Event().wait(0.2)
        assert settled == [], "nothing is known yet of what to take back"

    pushes.while_writing = write
    assert pushes.pusher.once()
    poll.join(10)
    assert settled == [True]
    assert pushes.pusher.coming() == []


def test_what_poll_showed_after_a_text_was_taken_back_is_not_queued_again(session: Session, pushes: Pushes) -> None:
    pushes.while_writing = session.begin_turn
    pushes.pusher.once()
    pushes.pusher.settle()
    pushes.pusher.shown(["m1"])
    session.write(4, 7)
    assert not pushes.pusher.once()


@pytest.mark.parametrize("deleted", [True, False])
def test_what_poll_showed_while_the_text_was_being_queued_comes_once_if_it_can_be_taken_back(
    session: Session, pushes: Pushes, deleted: bool
) -> None:
    session.answers(deleted=deleted)
    session.write(0, 1)
    pushes.while_writing = lambda: pushes.pusher.shown(["m1"])
    pushes.pusher.once()
    assert session.asked() == ["add", "delete"]
    assert pushes.pusher.coming() == ([] if deleted else ["m1"])
    assert not pushes.pusher.once(), "the model has it from poll"


def test_what_poll_shows_of_a_queued_text_is_taken_back_in_the_turn_and_not_queued_again(
    session: Session, pushes: Pushes
) -> None:
    pushes.while_writing = session.begin_turn
    pushes.pusher.once()
    pushes.pusher.shown(["m1"])  # this poll had asked the hub before the text was in the queue
    assert pushes.pusher.settle()
    session.write(4, 7)
    assert not pushes.pusher.once()


def test_a_text_that_the_session_has_taken_is_asked_for_back_once_and_stays_on_its_way(
    session: Session, pushes: Pushes
) -> None:
    session.answers(deleted=False)
    pushes.while_writing = session.begin_turn
    pushes.pusher.once()
    assert [pushes.pusher.settle(), pushes.pusher.settle()] == [False, False]
    assert session.asked() == ["add", "delete"]
    assert pushes.pusher.coming() == ["m1"]


def test_the_turn_that_takes_the_text_has_a_moment_to_write_it_down(session: Session, pushes: Pushes) -> None:
    pushes.pusher.once()
    session.write(0, 4)
    assert not pushes.pusher.settle()
    assert session.asked() == ["add"]


def test_a_text_given_up_is_not_left_in_the_queue_beside_its_successor(session: Session) -> None:
    session.codex.notice(META)
    session.codex.push("first", "1" * 12)
    session.codex.forget("1" * 12)
    session.codex.push("again", "2" * 12)
    assert session.asked() == ["add", "delete", "add"]
    assert not session.codex.recall("1" * 12), "it is not ours any more"
    assert session.codex.recall("2" * 12)


def test_in_a_turn_a_hook_gets_what_the_queue_would_bring_later(session: Session, pushes: Pushes) -> None:
    pushes.pusher.pulls.add("hook")
    session.write(0, 7)
    assert pushes.pusher.pull("hook", anything=False) is None, "an idle session is woken instead"
    session.write(1, 4)
    made = pushes.pusher.pull("hook", anything=False)
    assert made is not None
    assert made.push.ids == ["m1"]


def test_what_a_hook_was_given_and_the_client_did_not_write_down_goes_another_way(
    session: Session, pushes: Pushes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_bridge.push.pusher.LOST_S", -1.0)
    session.begin_turn()
    pushes.pusher.pulls.add("hook")
    assert pushes.pusher.pull("hook", anything=False) is not None
    assert pushes.pusher.coming() == ["m1"]
    assert pushes.pusher.settle()
    assert pushes.pusher.coming() == []
    assert session.asked() == [], "it never was in the queue"


def test_a_server_that_fails_takes_nothing_back(session: Session) -> None:
    session.codex.notice(META)
    session.codex.push("x", MARKER)
    (session.folder / "codex").write_text("#!/bin/sh\nexit 3\n")
    assert not session.codex.recall(MARKER)


def test_the_rung_wakes_and_can_be_switched_off() -> None:
    assert "queue" in WAKING
    assert "queue" in switched_off({"BRIDGE_PUSH_QUEUE": "0"})
