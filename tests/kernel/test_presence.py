"""Presence and reach."""

from __future__ import annotations

from hub.kernel.presence.presence import PresenceBoard
from tests.support.hubs import Clock


def test_presence_fades() -> None:
    clock = Clock()
    board = PresenceBoard(clock)
    assert board.state(1) == ("offline", "none")
    board.heartbeat(1)
    assert board.state(1) == ("online", "poll")
    clock.advance(46)
    assert board.state(1) == ("away", "poll")
    clock.advance(300)
    assert board.state(1) == ("offline", "none")


def test_a_connection_keeps_one_online_and_the_best_reach_shows() -> None:
    clock = Clock()
    board = PresenceBoard(clock)
    with board.connected(1, "poll"):
        with board.connected(1, "push"):
            clock.advance(3600)
            assert board.state(1) == ("online", "push")
        assert board.state(1) == ("online", "poll")
        board.gone(1)
        assert board.state(1)[0] == "online", "another connection lives"
    board.gone(1)
    assert board.state(1) == ("offline", "none")


def test_last_seen_times_are_handed_over_once() -> None:
    board = PresenceBoard(Clock())
    board.heartbeat(1)
    assert set(board.take_dirty()) == {1}
    assert board.take_dirty() == {}
