"""Runs in rooms, on the real sandbox: who may, what they get, how each one ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub import features
from hub.core.errors import Forbidden, HubError, RoomNotFound
from hub.features.runs import contract as c
from hub.features.runs import rules
from hub.features.runs.worker import RunWorker
from hub.kernel.inbox.contract import ReadEvents, ReadInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateRoom
from hub.log.rebuild import dump, rebuild
from hub.server.subscription import Subscription
from tests.support.hubs import TestHub, running_hub
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
MAY_RUN = ("room:read", "room:send", "run")
HANG = "import time\nprint('here', flush=True)\ntime.sleep(60)"


@pytest.fixture
async def hub(tmp_path: Path, anyio_backend: str) -> AsyncIterator[TestHub]:
    """A hub with a sandbox that passed its self-test, four runs at once, and the room `lab` where runs are on."""
    async with running_hub(tmp_path, sandbox="auto", sandbox_slots=4) as made:
        await open_room(made, "lab")
        await made.app.dispatch.service(RunWorker).ready.wait()
        yield made


async def open_room(hub: TestHub, name: str) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room=name, open_to="all"))
    await local.call(UpdateRoom(room=name, runs=True))


async def coder(hub: TestHub, name: str, room: str = "lab") -> Any:
    made = await hub.agent(name, "code", MAY_RUN)
    await made.call(JoinRoom(room=room))
    return made


async def outcome(caller: Any, started: c.Run) -> c.Run:
    found: c.Run = await caller.call(c.GetRun(room=started.room, run=started.id, wait_s=30))
    assert found.settled(), found
    return found


async def finals(caller: Any, room: str = "lab") -> list[str]:
    """The run ids of all final events of a room."""
    events = (await caller.call(ReadEvents(room=room, limit=500))).items
    return [event["data"]["id"] for event in events if event["type"] == "run.finished"]


async def test_a_run_gives_its_output_numbers_and_one_final_event(hub: TestHub) -> None:
    ada, ben = await coder(hub, "ada"), await coder(hub, "ben")
    started = await ada.call(c.StartRun(room="lab", language="python", code="import sys\nprint(6*7)\nsys.exit('no')"))
    done = await outcome(ben, started)
    assert (done.state, done.exit_code, done.stdout, done.stderr) == ("failed", 1, "42\n", "no\n")
    assert (done.sender, done.engine, done.network, done.stdout_bytes) == ("ada", "bwrap", "none", 3)
    assert done.cpu_ms is not None
    assert done.cpu_ms > 0
    assert await finals(ben) == [started.id]
    notices = [m for m in (await ada.call(ReadInbox())).messages if m.kind == "notice"]
    assert [(m.text, m.about and m.about.id) for m in notices] == [("Your run failed with exit code 1.", started.id)]


async def test_runs_are_off_until_a_person_with_the_right_switches_them_on(hub: TestHub) -> None:
    ada = await coder(hub, "ada")
    await ada.call(CreateRoom(room="own"))
    with pytest.raises(rules.RunsOff, match="mcp-bridge rooms set own --runs"):
        await ada.call(c.StartRun(room="own", language="bash", code="true"))
    with pytest.raises(Forbidden, match="needs a person"):
        await ada.call(UpdateRoom(room="own", runs=True))


async def test_who_ran_what_and_who_allowed_it_is_kept_where_no_owner_of_a_room_reaches_it(hub: TestHub) -> None:
    local, ada = await hub.local(), await coder(hub, "ada")
    started = await ada.call(c.StartRun(room="lab", language="bash", code="echo secret"))
    await outcome(ada, started)
    with pytest.raises(Forbidden, match="scope 'hub:admin'"):
        await ada.call(c.AuditRuns())
    await local.call(UpdateRoom(room="lab", topic="no switch"))
    await local.call(UpdateRoom(room="lab", runs=False))
    with pytest.raises(rules.RunsOff):
        await ada.call(c.StartRun(room="lab", language="bash", code="echo refused"))
    audit = (await local.call(c.AuditRuns())).items
    sha256 = hashlib.sha256(b"echo secret").hexdigest()
    assert [(entry.by, entry.room, entry.what, entry.run, entry.code_sha256) for entry in audit] == [
        ("local", "lab", "switched off", None, None),
        ("ada", "lab", "run", started.id, sha256),
        ("local", "lab", "switched on", None, None),
    ]
    first = await local.call(c.AuditRuns(limit=1))
    assert (len(first.items), first.has_more) == (1, True)
    rest = await local.call(c.AuditRuns(before=first.items[0].number))
    assert (rest.items, rest.has_more) == (audit[1:], False)


async def test_a_run_needs_the_scope_and_membership_and_a_room_not_a_conversation(hub: TestHub) -> None:
    plain = await hub.agent("plain", "code")
    with pytest.raises(Forbidden, match="scope 'run'"):
        await plain.call(c.StartRun(room="lab", language="bash", code="true"))
    stranger = await hub.agent("stranger", "code", MAY_RUN)
    with pytest.raises(RoomNotFound):
        await stranger.call(c.StartRun(room="lab", language="bash", code="true"))
    ada = await coder(hub, "ada")
    started = await ada.call(c.StartRun(room="lab", language="bash", code="true"))
    await outcome(ada, started)
    with pytest.raises(RoomNotFound):
        await stranger.call(c.GetRun(room="lab", run=started.id))
    await open_room(hub, "other")
    await ada.call(JoinRoom(room="other"))
    with pytest.raises(rules.RunNotFound):
        await ada.call(c.GetRun(room="other", run=started.id))


@pytest.mark.parametrize(
    ("code", "reason"),
    [("import time; time.sleep(60)", "timeout"), ("while True: print('x' * 1000)", "output")],
)
async def test_a_run_over_a_limit_is_killed_and_says_which(hub: TestHub, code: str, reason: str) -> None:
    ada = await coder(hub, "ada")
    started = await ada.call(c.StartRun(room="lab", language="python", code=code, timeout_s=2))
    done = await outcome(ada, started)
    assert (done.state, done.killed_reason, done.exit_code) == ("killed", reason, None)
    assert done.stdout_truncated == (reason == "output")


async def test_output_is_signalled_while_it_runs_to_members_who_follow(hub: TestHub) -> None:
    ada = await coder(hub, "ada")
    principal = await hub.app.authenticator.authenticate(hub.tokens["ada"])
    following = Subscription(hub.app.dispatch, principal)
    await following.follow(["lab"], {})
    started = await ada.call(c.StartRun(room="lab", language="python", code="print('é' * 9, flush=True)\n" + HANG))
    heard: list[dict[str, Any]] = []

    async def hears_all() -> bool:
        heard.extend(c.OutputSignal.model_validate_json(s).model_dump() for s in (await following.next()).signals)
        return "".join(signal["text"] for signal in heard) == "é" * 9 + "\nhere\n"

    await eventually(hears_all)
    assert {(signal["run"], signal["stream"]) for signal in heard} == {(started.id, "stdout")}
    assert [signal["offset"] for signal in heard] == [
        sum(len(earlier["text"]) for earlier in heard[:i]) for i in range(len(heard))
    ]
    assert (await ada.call(c.GetRun(room="lab", run=started.id))).state == "running"
    await ada.call(c.CancelRun(room="lab", run=started.id))
    assert (await outcome(ada, started)).stdout == "é" * 9 + "\nhere\n"


async def test_a_run_is_cancelled_by_its_starter_or_an_owner_and_by_nobody_else(hub: TestHub) -> None:
    ada, ben, boss = await coder(hub, "ada"), await coder(hub, "ben"), await hub.local()
    started = await ada.call(c.StartRun(room="lab", language="python", code=HANG))
    with pytest.raises(Forbidden, match="by who started it"):
        await ben.call(c.CancelRun(room="lab", run=started.id))
    waiting = await ada.call(c.StartRun(room="lab", language="python", code=HANG))
    assert waiting.state == "queued"
    assert (await ada.call(c.CancelRun(room="lab", run=waiting.id))).state == "cancelled"
    await boss.call(c.CancelRun(room="lab", run=started.id))
    assert (await outcome(ada, started)).state == "cancelled"
    assert (await ada.call(c.CancelRun(room="lab", run=started.id))).state == "cancelled"
    assert sorted(await finals(ada)) == sorted([started.id, waiting.id])


async def test_one_run_at_a_time_per_agent_and_two_per_room_the_others_wait_their_turn(hub: TestHub) -> None:
    ada, ben, eve = [await coder(hub, name) for name in ("ada", "ben", "eve")]
    ask = c.StartRun(room="lab", language="python", code=HANG)
    states = [(await caller.call(ask)).state for caller in (ada, ada, ben, eve)]
    assert states == ["running", "queued", "running", "queued"]
    listed = (await ada.call(c.ListRuns(room="lab"))).items
    assert [run.state for run in listed] == ["queued", "running", "queued", "running"]
    await ben.call(c.CancelRun(room="lab", run=listed[1].id))
    await eventually(lambda: _state(eve, listed[0].id, "running"), what="eve's run gets the room's free place")
    assert (await ada.call(c.GetRun(room="lab", run=listed[2].id))).state == "queued"


async def _state(caller: Any, run: str, state: str) -> bool:
    found: c.Run = await caller.call(c.GetRun(room="lab", run=run))
    return found.state == state


async def test_200_requests_at_once_start_wait_and_are_refused_exactly_as_the_limits_say(hub: TestHub) -> None:
    for room in range(25):
        await open_room(hub, f"room-{room}")
    agents = [await coder(hub, f"agent-{n}", f"room-{n % 25}") for n in range(50)]
    code = "import pathlib, time\nwhile True: time.sleep(1)"
    asked = [
        (agent, c.StartRun(room=f"room-{number % 25}", language="python", code=code, timeout_s=60))
        for _ in range(4)
        for number, agent in enumerate(agents)
    ]
    results = await asyncio.gather(*(agent.call(request) for agent, request in asked), return_exceptions=True)
    runs = [result for result in results if isinstance(result, c.Run)]
    refused = [result for result in results if isinstance(result, HubError)]
    assert (len(runs), len(refused)) == (4 + rules.WAITING, 200 - 4 - rules.WAITING)
    assert {error.code for error in refused} == {"run-queue-full"}
    assert sorted(run.state for run in runs) == ["queued"] * rules.WAITING + ["running"] * 4
    local = await hub.local()
    for run in runs:  # each end lets the next one start, until none waits
        await local.call(c.CancelRun(room=run.room, run=run.id))
    ends = [await outcome(local, run) for run in runs]
    assert {end.state for end in ends} == {"cancelled"}
    found = [await finals(local, f"room-{room}") for room in range(25)]
    assert sorted(run for room in found for run in room) == sorted(run.id for run in runs)


async def test_a_hub_that_stops_reports_its_runs_as_interrupted_and_lets_waiting_ones_run_later(tmp_path: Path) -> None:
    async with running_hub(tmp_path, sandbox="auto", sandbox_slots=1) as hub:
        await open_room(hub, "lab")
        await hub.app.dispatch.service(RunWorker).ready.wait()
        ada, ben = await coder(hub, "ada"), await coder(hub, "ben")
        going = await ada.call(c.StartRun(room="lab", language="python", code=HANG))
        waiting = await ben.call(c.StartRun(room="lab", language="python", code="print('later')"))
        assert waiting.state == "queued"
    async with running_hub(tmp_path, sandbox="auto", sandbox_slots=1) as hub:
        local = await hub.local()
        assert (await local.call(c.GetRun(room="lab", run=going.id))).state == "interrupted"
        done = await outcome(local, waiting)
        assert (done.state, done.stdout) == ("succeeded", "later\n")
        assert sorted(await finals(local)) == sorted([going.id, waiting.id])


async def test_no_sandbox_is_started_before_a_room_has_runs_on(tmp_path: Path) -> None:
    async with running_hub(tmp_path, sandbox="auto") as hub:
        worker = hub.app.dispatch.service(RunWorker)
        await worker.unwanted.wait()
        assert (worker.ready.is_set(), worker.engines.examined) == (False, ())
        await open_room(hub, "lab")
        await worker.ready.wait()
        assert set(worker.engines.languages) == {"python", "javascript", "bash"}


async def test_without_a_sandbox_a_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with running_hub(tmp_path, sandbox="off") as hub:
        await open_room(hub, "lab")
        ada = await coder(hub, "ada")
        await hub.app.dispatch.service(RunWorker).ready.wait()
        with pytest.raises(rules.SandboxUnavailable, match="the setting 'sandbox' is 'off'") as refused:
            await ada.call(c.StartRun(room="lab", language="python", code="1"))
        assert refused.value.status == 501


async def test_rebuilt_runs_equal_live_ones(hub: TestHub) -> None:
    ada = await coder(hub, "ada")
    for code in ("true", "exit 3"):
        await outcome(ada, await ada.call(c.StartRun(room="lab", language="bash", code=code)))

    def both(tx: Any) -> tuple[Any, Any]:
        tables, log = features.projection_tables(), 2
        before = dump(tx, log, tables)
        rebuild(tx, log, tables, features.event_tables())
        return before, dump(tx, log, tables)

    before, after = await hub.app.store.write(both)
    assert len(before["run"]) == 2
    assert after == before
