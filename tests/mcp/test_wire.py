"""The stdio relay frame by frame: tasks, cancellation, subscriptions, memory, signals, hostile envelopes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.mcp.test_relay import environment, stop_hub
from tests.mcp.wire import Wire
from tests.support.waiting import eventually_sync


class Desks:
    """Relays of one project."""

    def __init__(self, home: Path, project: Path) -> None:
        self.home = home
        self._project = project
        self.wires: list[Wire] = []

    def open(self, name: str = "", *, modern: bool = True) -> Wire:
        arguments = ["--name", name] if name else []
        wire = Wire(environment(self.home), self._project, *arguments, modern=modern)
        self.wires.append(wire)
        return wire


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[Desks]:
    project = tmp_path / "proj"
    project.mkdir()
    made = Desks(tmp_path / "home", project)
    yield made
    for wire in made.wires:
        wire.close()
    stop_hub(made.home)


@pytest.fixture(params=["modern", "handshake"])
def modern(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "modern")


def texts(page: dict[str, Any]) -> list[str]:
    return [m["text"] for m in page.get("messages", [])]


def test_what_was_shown_before_the_hub_died_is_not_shown_again(desks: Desks, modern: bool) -> None:
    ada, ben = desks.open("ada", modern=modern), desks.open("ben", modern=modern)
    ben.tool("who")
    ada.tool("send", text="one")
    assert texts(ben.tool("poll", wait_s=10)) == ["one"]
    stop_hub(desks.home, signal.SIGKILL)
    ada.tool("send", text="two")
    assert texts(ben.tool("poll", wait_s=10)) == ["two"]
    assert ben.tool("who")["unread"] == 0


def test_the_current_room_outlives_the_hub(desks: Desks) -> None:
    ada = desks.open("ada")
    ada.tool("join", room="plan")
    stop_hub(desks.home, signal.SIGKILL)
    assert ada.tool("send", text="x")["room"] == "plan", "not the project's room, where others would read it"


def test_calls_made_at_once_are_calls_of_their_own(desks: Desks, modern: bool) -> None:
    ada = desks.open("ada", modern=modern)
    ada.tool("who")
    numbers = [ada.send("tools/call", name="send", arguments={"text": f"m{i}"}) for i in range(20)]
    answers = [ada.answer(number)["result"] for number in numbers]
    assert not [a for a in answers if a.get("isError")]
    assert len({a["structuredContent"]["id"] for a in answers}) == 20


def test_a_result_on_its_way_counts_though_other_calls_were_made_meanwhile(desks: Desks) -> None:
    ada, ben = desks.open("ada"), desks.open("ben")
    ben.tool("who")
    waiting = ben.send("tools/call", name="poll", arguments={"wait_s": 30})
    for _ in range(3):
        ben.tool("who")
    sent = ada.tool("send", text="one", to=["ben"])
    assert texts(ben.answer(waiting)["result"]["structuredContent"]) == ["one"]
    for _ in range(2):
        ben.tool("who")
    assert ada.tool("who", message=sent["id"])["receipts"][0]["state"] == "seen"
    assert texts(ben.tool("poll")) == []


def test_a_cancelled_wait_is_never_answered_and_loses_nothing(desks: Desks, modern: bool) -> None:
    ada, ben = desks.open("ada", modern=modern), desks.open("ben", modern=modern)
    ben.tool("who")
    waiting = ben.send("tools/call", name="poll", arguments={"wait_s": 30})
    ben.send("notifications/cancelled", request=False, requestId=waiting)
    sent = ada.tool("send", text="one", to=["ben"])
    assert texts(ben.tool("poll", wait_s=10)) == ["one"]
    ben.tool("who")
    assert ada.tool("who", message=sent["id"])["receipts"][0]["state"] == "seen"
    assert not [frame for frame in ben.seen if frame.get("id") == waiting]


def start_waiting(wire: Wire) -> str:
    made = wire.ask("tools/call", tasks=True, name="poll", arguments={"wait_s": 60})
    assert (made["resultType"], made["status"]) == ("task", "working")
    return str(made["taskId"])


def outcome(wire: Wire, task: str) -> dict[str, Any]:
    def done() -> dict[str, Any] | None:
        found = wire.ask("tasks/get", tasks=True, taskId=task)
        return found if found["status"] != "working" else None

    found: dict[str, Any] = eventually_sync(done, within_s=20)
    return found


def test_a_wait_becomes_a_task_that_completes_with_the_message(desks: Desks) -> None:
    ada, ben = desks.open("ada"), desks.open("ben")
    ben.tool("who")
    task = start_waiting(ben)
    assert ben.tool("who")["you"] == "ben", "the session is free meanwhile"
    sent = ada.tool("send", text="wake up", to=["ben"])
    found = outcome(ben, task)
    assert found["status"] == "completed"
    assert "wake up" in found["result"]["content"][0]["text"]
    ben.tool("who")
    assert ada.tool("who", message=sent["id"])["receipts"][0]["state"] == "seen"
    assert texts(ben.tool("poll")) == []


def test_a_task_outlives_the_hub_that_started_it(desks: Desks) -> None:
    ada, ben = desks.open("ada"), desks.open("ben")
    ben.tool("who")
    task = start_waiting(ben)
    stop_hub(desks.home, signal.SIGKILL)
    ada.tool("send", text="after the crash", to=["ben"])
    assert texts(outcome(ben, task)["result"]["structuredContent"]) == ["after the crash"]


def test_a_task_belongs_to_its_agent_and_can_be_cancelled(desks: Desks) -> None:
    ada, ben = desks.open("ada"), desks.open("ben")
    task = start_waiting(ben)
    for method in ("tasks/get", "tasks/cancel"):
        foreign = ada.answer(ada.send(method, tasks=True, taskId=task))
        assert "not found" in foreign["error"]["message"]
    assert ben.ask("tasks/get", tasks=True, taskId=task)["status"] == "working"
    ben.ask("tasks/cancel", tasks=True, taskId=task)
    assert ben.ask("tasks/get", tasks=True, taskId=task)["status"] == "cancelled"


def test_wrong_arguments_are_refused_at_once_not_by_a_task(desks: Desks) -> None:
    made = desks.open("ben").ask("tools/call", tasks=True, name="poll", arguments={"wait_s": 5, "rom": "x"})
    assert made["isError"]
    assert "did you mean 'room'" in made["content"][0]["text"]


def test_every_subscription_of_a_handshake_client_is_heard_also_after_a_restart(desks: Desks) -> None:
    ada, ben = desks.open("ada"), desks.open("ben", modern=False)
    for room in ("one", "two"):
        ada.tool("join", room=room)
        ben.tool("join", room=room)

    def heard(room: str) -> bool:
        ada.tool("send", text="x", room=room)
        return bool(ben.until(lambda f: f.get("params", {}).get("uri") == f"room://{room}", within_s=2))

    for room in ("one", "two"):
        ben.ask("resources/subscribe", uri=f"room://{room}")
    for room in ("one", "two"):
        eventually_sync(partial(heard, room))
    stop_hub(desks.home, signal.SIGKILL)
    ben.seen.clear()
    for room in ("one", "two"):
        eventually_sync(partial(heard, room))
    methods = {f["method"] for f in ben.seen if "method" in f}
    assert methods <= {"notifications/resources/updated", "notifications/tools/list_changed"}, "nothing of another era"


def test_a_session_whose_name_is_taken_is_told_its_own(desks: Desks, modern: bool) -> None:
    first, second = desks.open("ada", modern=modern), desks.open("ada", modern=modern)
    assert "is in use" not in first.tool("who").get("note", "")
    told = second.tool("who")
    assert told["you"] == "ada-2"
    assert "here you are ada-2" in told["note"]
    assert "note" not in second.tool("who")


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_session_ended_by_a_signal_leaves_no_ghost(desks: Desks, name: signal.Signals) -> None:
    ada, ben = desks.open("ada"), desks.open("ben")
    ben.tool("who")

    def presence(agent: str) -> str:
        return str({m["name"]: m["presence"] for m in ada.tool("who", room="proj")["members"]}[agent])

    ada.tool("who")
    eventually_sync(lambda: presence("ben") == "online")
    ben.process.send_signal(name)
    ben.process.wait(1)
    eventually_sync(lambda: presence("ben") == "offline", within_s=5)


def hubs_of(home: Path) -> list[int]:
    """Processes of hubs that use this data directory."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command, env = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if b"\0up\0" in command and f"BRIDGE_HOME={home}".encode() in env.split(b"\0"):
            found.append(int(process.name))
    return found


def test_sessions_that_start_at_once_share_one_hub(desks: Desks) -> None:
    wires = [desks.open(f"a{i}") for i in range(4)]
    numbers = [wire.send("tools/call", name="who", arguments={}) for wire in wires]
    assert [w.answer(n)["result"]["structuredContent"]["you"] for w, n in zip(wires, numbers, strict=True)] == [
        "a0",
        "a1",
        "a2",
        "a3",
    ]
    assert {m["name"] for m in wires[0].tool("who", room="proj")["members"]} >= {"a0", "a1", "a2", "a3"}
    eventually_sync(lambda: len(hubs_of(desks.home)) == 1, what="one hub per data directory")


HOSTILE = [
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":5}}',
    b'{"jsonrpc":"2.0","id":2,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/clientInfo":"x"}}}',
    b'{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"clientInfo":[1]}}',
    b'{"jsonrpc":"2.0","id":4,"method":"initialize","params":{"capabilities":7}}',
    b'{"jsonrpc":"2.0","id":[5],"method":"tools/call","params":{}}',
    b'{"jsonrpc":"2.0","id":{"x":6},"method":"ping"}',
    b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":8,"method":"ping","params":null}',
    b'{"jsonrpc":"2.0","id":9,"method":"\\u0000"',
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"jsonrpc":"2.0","id":10,"method":"ping","params":{"x":"' + b"x" * 9_000_000 + b'"}}',
]
SILENT = [
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":"x"}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[1]}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled"}',
    b'{"jsonrpc":"2.0","method":"notifications/none","params":{"_meta":3}}',
    b'{"jsonrpc":"2.0","id":1,"result":{}}',
]


def test_hostile_envelopes_get_one_error_each_and_the_relay_lives(tmp_path: Path) -> None:
    good = [b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', b'{"jsonrpc":"2.0","id":"last","method":"ping"}']
    done = subprocess.run(
        [sys.executable, "-m", "mcp_bridge", "mcp"],
        input=b"\n".join([*HOSTILE, *SILENT, *good]) + b"\n",
        capture_output=True,
        env=environment(tmp_path / "home"),
        cwd=tmp_path,
        timeout=30,
    )
    assert done.stderr == b""
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[-2:] == [{"jsonrpc": "2.0", "id": i, "result": {}} for i in ("\ud800", "last")]
    assert len(answers) == len(HOSTILE) + 2
    assert all("error" in answer for answer in answers[:-2]), answers


def test_a_session_is_told_once_which_room_it_joined_and_leaving_it_holds(desks: Desks, modern: bool) -> None:
    ada = desks.open("ada", modern=modern)
    told = ada.tool("who")
    room = told["rooms"][0]["room"]
    assert f"in room {room} (joined by itself" in told["note"]
    assert "note" not in ada.tool("who")
    ada.tool("join", room=room, action="leave")
    stop_hub(desks.home, signal.SIGKILL)
    assert not ada.tool("who").get("rooms")
