"""A session keeps its name over restarts; two in one project have two; what was left stays left."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_bridge.identity import SHORT, WORDS, Identity, Seat, seat_name

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="seats need file locks")


class Sessions:
    """Sessions of one user in one project; `end` is the end of a session's process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.started: list[Identity] = []

    def start(self, session: str = "", name: str = "", **environment: str) -> Identity:
        place = {"CLAUDE_PROJECT_DIR": str(self.home / "parser"), "CLAUDE_CODE_SESSION_ID": session, **environment}
        self.started.append(Identity(self.home, "claude-code", name, "", place))
        return self.started[-1]

    def end(self, who: Identity) -> None:
        who.end()


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    made = Sessions(tmp_path)
    yield made
    for who in made.started:
        who.end()


def test_two_sessions_in_one_project_have_two_memorable_names(sessions: Sessions) -> None:
    first, second = sessions.start("s1"), sessions.start("s2")
    assert first.name == "claude-parser"
    assert second.name.removeprefix("claude-parser-") in WORDS
    assert first.key != second.key


def test_a_restarted_session_is_the_same_agent_whatever_order_they_come_back_in(sessions: Sessions) -> None:
    before = [sessions.start(name) for name in ("s1", "s2", "s3")]
    for who in before:
        sessions.end(who)
    after = {name: sessions.start(name) for name in ("s3", "s1", "s2")}
    assert [(after[n].key, after[n].name) for n in ("s1", "s2", "s3")] == [(who.key, who.name) for who in before]


def test_a_new_session_takes_the_first_free_seat(sessions: Sessions) -> None:
    first = sessions.start("s1")
    sessions.end(first)
    assert sessions.start("s2").key == first.key


def test_a_reconnecting_session_waits_for_its_own_old_process(sessions: Sessions) -> None:
    old = sessions.start("s1")
    threading.Timer(0.3, sessions.end, [old]).start()
    assert sessions.start("s1").key == old.key


def test_a_session_that_says_only_later_which_it_is_gets_its_seat_back(sessions: Sessions) -> None:
    first, second = sessions.start(), sessions.start()
    assert not first.recognize("s1")
    assert not second.recognize("s2")
    second.leave("parser")
    before = [(who.key, who.name, who.room) for who in (first, second)]
    for who in (first, second):
        sessions.end(who)
    back = sessions.start()
    assert back.key == first.key, "nothing is known of it yet"
    assert back.recognize("s2")
    assert not back.recognize("s2"), "it is news once"
    other = sessions.start()
    assert not other.recognize("s1")
    assert [(who.key, who.name, who.room) for who in (other, back)] == before


def test_a_seat_that_somebody_sits_on_is_not_taken_away(sessions: Sessions) -> None:
    first, second = sessions.start(), sessions.start()
    first.recognize("s1")
    key = second.key
    assert not second.recognize("s1"), "two windows show one session"
    assert second.key == key


def test_sessions_without_a_session_id_are_told_apart_too(sessions: Sessions) -> None:
    first, second = sessions.start(), sessions.start()
    assert first.key != second.key
    sessions.end(first)
    assert sessions.start().key == first.key


def test_clients_have_the_names_that_people_call_them(tmp_path: Path) -> None:
    for client, name in SHORT.items():
        who = Identity(tmp_path, client, "", "", {"CLAUDE_PROJECT_DIR": str(tmp_path / "parser")})
        assert who.name == f"{name}-parser"
        who.end()


def test_a_given_name_wins(sessions: Sessions) -> None:
    assert [sessions.start("s1", "ada").name, sessions.start("s2", "ada").name] == ["ada", "ada"]


def test_a_room_that_was_left_is_not_joined_again_until_the_agent_enters_it(sessions: Sessions) -> None:
    first = sessions.start("s1")
    assert first.room == "parser"
    first.leave("parser")
    sessions.end(first)
    second = sessions.start("s1")
    assert (first.room, second.room) == ("", "")
    second.enter("parser")
    sessions.end(second)
    assert sessions.start("s1").room == "parser"


def test_joining_by_itself_can_be_switched_off(sessions: Sessions) -> None:
    assert sessions.start("s1", BRIDGE_AUTOJOIN="0").room == ""


def test_a_damaged_file_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    (tmp_path / "slots" / "k-0").write_text("{broken")
    seat = Seat(tmp_path, "k", "s1")
    assert seat.number == 0
    seat.free()


def test_the_seat_is_free_again_when_its_process_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from mcp_bridge.identity import Seat;"
        " seat = Seat(pathlib.Path(sys.argv[1]), 'k', 's1'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=30, cwd=Path(__file__).parents[2])
    seat = Seat(tmp_path, "k", "s2")
    assert seat.number == 0
    seat.free()


@given(st.sampled_from(["claude", "claude-parser", "codex-x"]), st.sets(st.integers(0, 999), min_size=2, max_size=40))
def test_names_of_seats_are_distinct(plain: str, numbers: set[int]) -> None:
    assert len({seat_name(plain, number) for number in numbers}) == len(numbers)
