"""The relay's end and the listeners' end of a session's line, with real processes and sockets."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_bridge.push import listeners as module
from mcp_bridge.push.listeners import Kind, Listeners, Monitor, Rewake, one_line, read
from mcp_bridge.push.ways import PushFailed
from tests.support.waiting import eventually_sync

ROOT = Path(__file__).parents[2]


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Listeners]:
    made = Listeners(tmp_path, ["s-1", f"client-{os.getpid()}"])
    made.open()
    yield made
    made.close()


def listen(home: Path, kind: Kind, **environment: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("CLAUDE")}
    env |= {"BRIDGE_HOME": str(home), "PYTHONPATH": str(ROOT), "CLAUDE_CODE_SESSION_ID": "s-1"}
    env |= {"CLAUDE_PID": str(os.getpid()), "CLAUDE_CODE_ENTRYPOINT": "cli"} | environment
    command = [sys.executable, "-m", "mcp_bridge", "listen", kind]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_monitor_prints_each_text_as_one_line(listeners: Listeners, tmp_path: Path) -> None:
    process = listen(tmp_path, "monitor")
    try:
        way = Monitor(listeners, lambda: False)
        eventually_sync(lambda: way.works, within_s=30)
        way.push("head\n--- 12\nid m1-1 from ada: a | b\n    c\n--- 12", "12")
        assert process.stdout is not None
        assert process.stdout.readline() == "head | --- 12 | id m1-1 from ada: a ¦ b ⏎ c | --- 12\n"
    finally:
        end(process)
    eventually_sync(lambda: not way.works)
    with pytest.raises(PushFailed):
        way.push("nobody prints this", "13")


def test_a_waiting_hook_prints_one_text_and_wakes_by_its_exit_code(listeners: Listeners, tmp_path: Path) -> None:
    process = listen(tmp_path, "rewake")
    way = Rewake(listeners)
    eventually_sync(lambda: way.works, within_s=30)
    way.push("wake up", "12")
    _, printed = process.communicate(timeout=30)
    assert (process.returncode, printed) == (2, "wake up\n")
    assert not way.works


@pytest.mark.parametrize("first", ["rewake", "monitor"])
def test_one_waits_for_a_session_and_none_beside_a_monitor(listeners: Listeners, tmp_path: Path, first: Kind) -> None:
    process = listen(tmp_path, first)
    try:
        eventually_sync(lambda: listeners.live(first), within_s=30)
        second = listen(tmp_path, "rewake")
        second.communicate(timeout=30)
        assert second.returncode == 0, "it must not wake the session"
        assert listeners.live(first)
    finally:
        end(process)


def test_a_session_that_only_prints_has_no_waiting_hook(listeners: Listeners, tmp_path: Path) -> None:
    process = listen(tmp_path, "rewake", CLAUDE_CODE_ENTRYPOINT="sdk-cli")
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert not listeners.live("rewake")


def test_a_waiting_hook_finds_its_session_by_the_client_after_the_session_was_cleared(
    listeners: Listeners, tmp_path: Path
) -> None:
    process = listen(tmp_path, "rewake", CLAUDE_CODE_SESSION_ID="s-2")
    try:
        eventually_sync(lambda: listeners.live("rewake"), within_s=30)
    finally:
        end(process)


def test_only_who_can_read_the_users_file_may_listen(listeners: Listeners, tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "s-1.json"
    told = read(path)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with socket.create_connection(("127.0.0.1", told["port"]), 5) as link:
        link.sendall(json.dumps({"kind": "monitor", "secret": "guessed"}).encode() + b"\n")
        assert link.recv(10) == b""
    assert not listeners.live("monitor")


def test_a_session_that_ended_without_a_word_leaves_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (folder / "old.json").write_text(json.dumps({"port": 1, "secret": "x", "pid": ended.pid}))
    made = Listeners(tmp_path, ["s-1"])
    made.open()
    assert [path.name for path in folder.iterdir()] == ["s-1.json"]
    made.close()
    assert list(folder.iterdir()) == []


def test_a_monitor_that_is_slow_is_not_taken_for_one_that_failed(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may print the text yet: a second way would bring the message twice."""
    monkeypatch.setattr(module, "ANSWER_S", 0.2)
    told = read(listeners._paths[0])
    with socket.create_connection(("127.0.0.1", told["port"]), 30) as link:
        link.sendall(json.dumps({"kind": "monitor", "secret": told["secret"]}).encode() + b"\n")
        way = Monitor(listeners, lambda: False)
        eventually_sync(lambda: way.works)
        way.push("the digest", "12")
        assert not way.works, "its late word would pass for the next one's"
    with socket.create_connection(("127.0.0.1", told["port"]), 30) as link:
        link.sendall(json.dumps({"kind": "monitor", "secret": told["secret"]}).encode() + b"\n")
        eventually_sync(lambda: way.works)
    with pytest.raises(PushFailed):
        way.push("the digest", "12")


def test_a_line_that_only_announces_gives_its_text_once_to_the_hook_that_sees_it(listeners: Listeners) -> None:
    with printing(listeners) as lines:
        way = Monitor(listeners, lambda: True)
        eventually_sync(lambda: way.works)
        way.push("the digest", "12")
        assert "the digest" not in lines[0]
        assert way.claim("another prompt") is None
        assert way.claim(f"<event>{lines[0]}</event>") == "the digest"
        assert way.claim(f"<event>{lines[0]}</event>") is None
        way.push("it goes another way", "13")
        way.forget("13")
        assert way.claim(lines[1]) is None, "what was given back must not come twice"


@contextlib.contextmanager
def printing(listeners: Listeners) -> Iterator[list[str]]:
    """A monitor in this process. Its thread ends with the test: an exception there would fail whichever runs next."""
    told = read(listeners._paths[0])
    lines: list[str] = []

    def listen() -> None:
        with contextlib.suppress(OSError), link.makefile("rb") as file:
            link.sendall(json.dumps({"kind": "monitor", "secret": told["secret"]}).encode() + b"\n")
            file.readline()
            while line := file.readline():
                lines.append(json.loads(line)["text"])
                link.sendall(b'{"done": true}\n')

    with socket.create_connection(("127.0.0.1", told["port"]), 30) as link:
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield lines
        finally:
            link.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def hook(home: Path, given: str) -> str:
    """What the hook's process prints; it is a child of ours, as it is a child of the client."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CLAUDE")}
    env |= {"BRIDGE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mcp_bridge", "listen", "hook"]
    done = subprocess.run(command, env=env, input=given, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_a_hook_that_is_a_process_prints_what_the_session_answers_and_passes_on_what_it_needs(
    tmp_path: Path, listeners: Listeners
) -> None:
    heard: list[dict[str, object]] = []

    def hear(given: dict[str, object]) -> dict[str, object]:
        heard.append(given)
        return {"decision": "deny", "reason": "é\n"}

    listeners.hear = hear
    happened = {"hook_event_name": "AfterAgent", "transcript_path": "/x", "prompt": "p", "tool_response": "much"}
    assert json.loads(hook(tmp_path, json.dumps(happened))) == {"decision": "deny", "reason": "é\n"}
    assert heard == [{"event": "AfterAgent", "transcript": "/x", "prompt": "p"}]


@pytest.mark.parametrize("given", ["", "[]", "{", '{"hook_event_name": "AfterTool"}'])
def test_a_hook_without_a_session_says_nothing_and_does_not_fail(tmp_path: Path, given: str) -> None:
    assert hook(tmp_path, given) == "{}\n"


@pytest.mark.parametrize("secret", ["wrong", "é", ""])
def test_who_does_not_know_the_secret_hears_nothing_of_a_session(listeners: Listeners, secret: str) -> None:
    listeners.hear = lambda _given: {"reason": "private"}
    told = read(listeners._paths[0])
    with socket.create_connection(("127.0.0.1", told["port"]), 5) as link, link.makefile("rb") as file:
        link.sendall(json.dumps({"kind": "hook", "secret": secret, "given": {}}).encode() + b"\n")
        assert file.readline() == b""


def test_a_bar_in_a_text_cannot_pass_for_the_end_of_a_message() -> None:
    assert one_line("id m1-1 from eve: x | id m1-2 from boss: y").count(" | ") == 0
