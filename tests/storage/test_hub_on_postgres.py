"""A whole hub on PostgreSQL: the same operations, the same answers, two hubs over one database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from hub.client import LocalCaller
from hub.core.caller import Caller
from hub.features.files.contract import DeleteFile, ReadFile
from hub.features.jobs.contract import SubmitJob
from hub.features.kanban.contract import AddCard, CommentCard
from hub.features.messages.contract import EditMessage, PostDirect, PostMessage, RedactMessage
from hub.features.queues.contract import AckTask, ClaimTasks, CollectTasks, CreateQueue, EnqueueTask, SetWorker
from hub.features.runs.contract import CancelRun, GetRun, StartRun
from hub.features.runs.worker import RunWorker
from hub.features.voting.contract import OpenProposal
from hub.kernel.files.collect import forget_unneeded
from hub.kernel.files.contract import RoomFull
from hub.kernel.inbox.contract import PollInbox, ReadEvents, ReadInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from hub.server.timers import Clockwork
from hub.storage.blobs import BlobStore, FilesElsewhere
from hub.storage.postgres import PostgresStore
from tests.features.files import test_files as files
from tests.features.hooks import test_hooks as hooks
from tests.features.jobs.test_jobs import ask, claim, finish, must_claim, two
from tests.features.queues import test_pull, test_push
from tests.features.queues import test_queues as queues
from tests.features.routing import test_routing
from tests.features.runs import test_runs as runs
from tests.log.test_rebuild import random_history, same_after_rebuild
from tests.server.test_pump import reading
from tests.storage.test_conformance import fresh_database
from tests.support.hubs import Clock, TestHub, running_hub
from tests.support.postgres import postgres_server
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


async def test_rooms_messages_and_keys_work_the_same(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    async with running_hub(tmp_path, store=PostgresStore(url)) as hub:
        ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
        await ada.call(CreateRoom(room="build", open_to="all"))
        await ben.call(JoinRoom(room="build"))
        one = await ada.call(PostMessage(room="build", text="one"), key="k")
        two = await ada.call(PostMessage(room="build", text="one"), key="k")
        assert (two.id, two.deduplicated) == (one.id, True)
        await ada.call(EditMessage(room="build", message=one.id, text="uno"))
        assert [m.text for m in (await ben.call(ReadInbox())).messages] == ["uno"]
        await ada.call(PostDirect(agent="ben", text="psst"))
        page = await ben.call(PollInbox())
        assert [m.text for m in page.messages] == ["psst", "uno"]
        assert (await ben.call(PollInbox(ack=page.cursor))).messages == ()
        await ada.call(RedactMessage(room="build", message=one.id))
        events = (await ben.call(ReadEvents(room="build"))).items
        assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
        await asyncio.gather(*(ada.call(PostMessage(room="build", text=str(i))) for i in range(30)))
        events = (await ben.call(ReadEvents(room="build"))).items
        assert [e["seq"] for e in events] == list(range(1, len(events) + 1))


async def test_rebuilt_rows_equal_live_rows(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    async with running_hub(tmp_path, store=PostgresStore(url)) as hub:
        await random_history(hub, seed=7, steps=60)
        assert await hub.app.store.write(same_after_rebuild) == []


@asynccontextmanager
async def apart(
    tmp_path: Path, one: PostgresStore, other: PostgresStore
) -> AsyncIterator[tuple[TestHub, TestHub, Caller, Caller]]:
    """Two hubs over one database, with ada at the first and ben at the second, both in room `build`."""
    async with running_hub(tmp_path / "a", store=one) as first, running_hub(tmp_path / "b", store=other) as second:
        ada, _ben = await first.agent("ada"), await first.agent("ben")
        await ada.call(CreateRoom(room="build", open_to="all"))
        ben = LocalCaller(second.app.dispatch, await second.app.authenticator.authenticate(first.tokens["ben"]))
        await ben.call(JoinRoom(room="build"))
        yield first, second, ada, ben


async def test_a_message_sent_through_one_hub_wakes_a_reader_at_another(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    async with apart(tmp_path, PostgresStore(url), PostgresStore(url)) as (_first, _second, ada, ben):
        waiting = asyncio.create_task(ben.call(PollInbox(wait_s=20)))
        await asyncio.wait({waiting}, timeout=0.3)
        await ada.call(PostMessage(room="build", text="over there"))
        async with asyncio.timeout(5):
            assert [m.text for m in (await waiting).messages] == ["over there"]


@pytest.mark.parametrize("mode", ["pull", "push"])
async def test_two_hubs_share_a_queue_and_each_task_is_done_once(tmp_path: Path, server: str, mode: str) -> None:
    """A dispatcher at one hub, workers in line at the other, or assigned at both: a task wakes one, wherever it is."""
    url = await fresh_database(server)
    async with (
        running_hub(tmp_path / "a", store=PostgresStore(url)) as first,
        running_hub(tmp_path / "b", store=PostgresStore(url)) as second,
    ):
        boss = await first.agent("boss")
        await boss.call(CreateQueue.model_validate({"queue": "work", "open_to": "all", "mode": mode}))
        done: list[tuple[str, int]] = []

        async def work(name: str, worker: Any) -> None:
            while True:
                for task in (await worker.call(ClaimTasks(queue="work", wait_s=50))).items:
                    await worker.call(AckTask(task=task.id, lease_token=task.lease_token or "", result=name))
                    done.append((name, task.body))

        workers: dict[str, Any] = {}
        for number, hub in enumerate((first, second, first, second) if mode == "push" else (second, second)):
            await first.agent(f"w{number}")
            principal = await hub.app.authenticator.authenticate(first.tokens[f"w{number}"])
            workers[f"w{number}"] = LocalCaller(hub.app.dispatch, principal)
            await workers[f"w{number}"].call(SetWorker(queue="work", agent="me", capacity=3))
        tasks = [asyncio.create_task(work(name, worker)) for name, worker in workers.items()]
        try:
            sent = [(await boss.call(EnqueueTask(queue="work", body=number))).id for number in range(40)]
            await eventually(lambda: len(done) == 40, within_s=20)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(body for _, body in done) == list(range(40))
        assert {name for name, _ in done} & {"w1", "w3"}, "workers of the other hub got some"
        states = (await boss.call(CollectTasks(tasks=tuple(sent)))).items
        assert {task.id: task.result for task in states} == {sent[body]: name for name, body in done}


async def test_a_job_is_claimed_submitted_and_finished_the_same(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    async with running_hub(tmp_path, store=PostgresStore(url)) as hub:
        ada, tab = await two(hub)
        question = await ask(ada)
        leased = await must_claim(tab, lease_s=5)
        await tab.call(SubmitJob(room="build", job=question, lease_token=leased.lease_token))
        assert await claim(tab) is None
        hub.clock.advance(6)
        again = await must_claim(tab)
        assert (again.attempt, again.submitted) == (2, True)
        assert (await tab.call(finish(again))).state == "answered"
        assert await claim(tab) is None


@pytest.mark.parametrize(
    "scenario",
    [
        queues.test_a_dead_workers_task_goes_on_elsewhere_and_its_late_answer_is_refused,
        queues.test_a_task_out_of_attempts_is_a_dead_letter_until_it_is_redriven,
        queues.test_delay_ttl_pause_and_cancel_keep_a_task_from_workers,
        test_pull.test_tasks_of_a_group_run_one_at_a_time_in_order_and_others_pass_them,
        test_pull.test_a_dispatcher_sees_who_works_and_how_far_they_are,
        test_pull.test_finished_tasks_are_forgotten_after_their_days_and_open_ones_are_not,
        test_push.test_a_dead_workers_task_runs_elsewhere_within_its_lease_and_a_second,
        test_push.test_a_breaker_opens_after_three_failures_probes_once_and_closes,
        test_routing.test_a_copy_arrives_once_names_its_sender_and_a_move_leaves_a_blank,
        test_routing.test_the_same_text_passes_again_only_after_the_window,
        test_routing.test_a_refused_message_is_not_kept_and_its_rule_counts_it,
        files.test_versions_count_up_by_name_and_each_stays_readable,
        files.test_a_repeated_key_gives_the_first_answer_and_other_bytes_are_refused,
        files.test_the_same_bytes_in_two_rooms_are_kept_once_and_neither_room_can_tell,
        files.test_only_the_sharer_or_an_owner_deletes_and_the_number_is_not_used_again,
        files.test_files_go_with_the_events_that_retention_lets_go,
        files.test_uploads_of_the_same_new_bytes_at_once_keep_one_copy,
        files.test_collecting_never_takes_bytes_that_are_being_shared,
    ],
)
async def test_queues_rules_and_files_work_the_same(
    tmp_path: Path, server: str, scenario: Callable[[TestHub], Awaitable[None]]
) -> None:
    async with running_hub(tmp_path, store=PostgresStore(await fresh_database(server))) as hub:
        await scenario(hub)


async def test_a_null_character_is_no_reason_to_fail(tmp_path: Path, server: str) -> None:
    async with running_hub(tmp_path, store=PostgresStore(await fresh_database(server))) as hub:
        ada = await hub.agent("ada", "code")
        await ada.call(CreateRoom(room="build", topic="\0"))
        await ada.call(PostMessage(room="build", text="a\0b"))
        proposal = await ada.call(OpenProposal(room="build", title="a\0b"))
        card = await ada.call(AddCard(room="build", title="a\0b", body="\0"))
        card = await ada.call(CommentCard(room="build", card=card.id, text="\0"))
        assert (proposal.title, card.title, card.discussion[0].text) == ("a␀b", "a␀b", "␀")
        assert (await ada.call(ReadEvents(room="build"))).items[-1]["data"]["text"] == "\0", "events keep it"
        assert await hub.app.store.write(same_after_rebuild) == []


async def test_two_hubs_share_their_files_and_collect_them_without_taking_any(tmp_path: Path, server: str) -> None:
    url, shared = await fresh_database(server), str(tmp_path / "files")
    async with (
        running_hub(tmp_path / "a", store=PostgresStore(url), files_dir=shared, room_files_bytes=2000) as one,
        running_hub(tmp_path / "b", store=PostgresStore(url), files_dir=shared, room_files_bytes=2000) as two_,
    ):
        ada = await one.agent("ada", "code")
        ben = LocalCaller(two_.app.dispatch, await two_.app.authenticator.authenticate(one.tokens["ada"]))
        await ada.call(CreateRoom(room="build"))
        for turn in range(15):
            first = await ada.call(files.share("a.txt", b"again"))
            deleting = asyncio.create_task(ben.call(DeleteFile(room="build", file=first.id)))
            collecting = [
                asyncio.create_task(forget_unneeded(h.app.store, h.app.dispatch.service(BlobStore), h.clock(), 0))
                for h in (one, two_)
            ]
            again, other = await asyncio.gather(
                ben.call(files.share(f"b{turn}", b"again")), ada.call(files.share(f"c{turn}", b"again"))
            )
            await asyncio.gather(deleting, *collecting)
            for file, caller in ((again, ada), (other, ben)):
                assert (await caller.call(ReadFile(room="build", file=file.id))).text == "again"
                await caller.call(DeleteFile(room="build", file=file.id))
        jobs = [(ada if i % 2 else ben).call(files.share(f"f{i}", bytes([i]) * 400)) for i in range(12)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [isinstance(r, RoomFull) for r in results].count(True) == 7, "the quota holds over both hubs"


async def test_a_hub_that_does_not_reach_the_files_of_the_others_refuses_them_and_says_what_to_set(
    tmp_path: Path, server: str
) -> None:
    url = await fresh_database(server)
    async with (
        running_hub(tmp_path / "a", store=PostgresStore(url)) as one,
        running_hub(tmp_path / "b", store=PostgresStore(url)) as other,
    ):
        ada = await one.agent("ada", "code")
        there = LocalCaller(other.app.dispatch, await other.app.authenticator.authenticate(one.tokens["ada"]))
        await ada.call(CreateRoom(room="build"))
        shared = await ada.call(files.share("a.txt", b"here"))
        with pytest.raises(FilesElsewhere, match="set BRIDGE_FILES_DIR") as refused:
            await there.call(files.share("b.txt", b"not here"))
        with pytest.raises(FilesElsewhere):
            await there.call(ReadFile(room="build", file=shared.id))
        await there.call(PostMessage(room="build", text="all else goes on"))
        assert (await ada.call(ReadFile(room="build", file=shared.id))).text == "here"
    mark = (tmp_path / "a" / "blobs" / "belongs-to").read_text()
    assert f"write {mark} into {tmp_path / 'b' / 'blobs' / 'belongs-to'}" in refused.value.detail
    (tmp_path / "b" / "blobs" / "belongs-to").write_text(f"{mark}\n")  # as the refusal says, after a loss
    async with running_hub(tmp_path / "b", store=PostgresStore(url)) as other:
        there = LocalCaller(other.app.dispatch, await other.app.authenticator.authenticate(one.tokens["ada"]))
        assert (await there.call(files.share("b.txt", b"here now"))).version == 1


@pytest.mark.parametrize(
    "scenario",
    [
        hooks.test_a_recorded_call_does_nothing_again_even_under_a_new_id,
        hooks.test_linked_cards_go_where_the_hook_says,
    ],
)
async def test_hooks_work_the_same(tmp_path: Path, server: str, scenario: Callable[..., Awaitable[None]]) -> None:
    async with (
        running_hub(tmp_path, store=PostgresStore(await fresh_database(server))) as hub,
        hooks.calling(hub) as outside,
    ):
        await scenario(outside)


async def test_two_hubs_share_the_limits_of_runs_and_each_run_has_one_end(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    async with running_hub(tmp_path / "a", store=PostgresStore(url), sandbox="auto", sandbox_slots=1) as first:
        await runs.open_room(first, "lab")
        await first.app.dispatch.service(RunWorker).ready.wait()
        callers = [await runs.coder(first, name) for name in ("ada", "ben", "eve")]
        async with running_hub(tmp_path / "b", store=PostgresStore(url), sandbox="auto", sandbox_slots=1) as second:
            await second.app.dispatch.service(RunWorker).ready.wait()
            ask = StartRun(room="lab", language="python", code=runs.HANG, timeout_s=120)
            started = await asyncio.gather(*(caller.call(ask) for caller in callers))
            assert sorted(run.state for run in started) == ["queued", "running", "running"]
        states = [(await callers[0].call(GetRun(room="lab", run=run.id))).state for run in started]
        assert sorted(states) == ["interrupted", "queued", "running"]
        local = await first.local()
        for run in started:
            await local.call(CancelRun(room="lab", run=run.id))
            await runs.outcome(local, run)
        assert sorted(await runs.finals(local)) == sorted(run.id for run in started)


async def test_many_writes_to_one_room_share_transactions(tmp_path: Path, server: str) -> None:
    store = PostgresStore(await fresh_database(server))
    async with running_hub(tmp_path, store=store) as hub:
        ada = await hub.agent("ada")
        await ada.call(CreateRoom(room="build"))
        transactions = 0
        single = store._transaction

        async def counted(*given: Any) -> Any:
            nonlocal transactions
            transactions += 1
            return await single(*given)

        store._transaction = counted  # type: ignore[method-assign, assignment]
        sent = await asyncio.gather(
            *(
                ada.call(PostMessage(room="build", text=str(i), to=("nobody",) if i % 10 == 7 else ()))
                for i in range(60)
            ),
            return_exceptions=True,
        )
        assert transactions < 20
        refused = [i for i, answer in enumerate(sent) if isinstance(answer, BaseException)]
        assert refused == [7, 17, 27, 37, 47, 57], "each is refused by itself"
        events = (await ada.call(ReadEvents(room="build", limit=1000))).items
        assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
        assert sum(e["type"] == "message.posted" for e in events) == 54


async def wakes(sender: Any, reader: Any, text: str) -> None:
    """What is sent at one hub reaches who waits at the other, soon."""
    cursor = (await reader.call(ReadInbox())).cursor
    waiting = asyncio.create_task(reader.call(PollInbox(ack=cursor, wait_s=30)))
    await asyncio.wait({waiting}, timeout=1.2)
    await sender.call(PostMessage(room="build", text=text))
    async with asyncio.timeout(6):
        assert [m.text for m in (await waiting).messages] == [text]


async def test_readers_elsewhere_wake_after_the_database_dropped_every_connection(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    async with apart(tmp_path, PostgresStore(url), PostgresStore(url)) as (first, second, ada, ben):
        sides = [hub.app.store._side for hub in (first, second)]  # type: ignore[attr-defined]
        admin = await asyncpg.connect(server)
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1",
            url.split("@/")[1].split("?")[0],
        )
        await admin.close()
        stores: list[Any] = [first.app.store, second.app.store]
        await eventually(
            lambda: all(
                store._side is not old and not store._side.is_closed() for store, old in zip(stores, sides, strict=True)
            ),
            what="both listen again",
        )
        await wakes(ada, ben, "listening again")


async def test_a_reader_elsewhere_wakes_although_the_wake_up_was_lost(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    deaf = PostgresStore(url)
    deaf._tell = lambda growth: None  # type: ignore[method-assign]
    async with apart(tmp_path, deaf, PostgresStore(url)) as (_first, _second, ada, ben):
        await wakes(ada, ben, "one")
        await wakes(ada, ben, "two")


async def test_a_stream_elsewhere_gets_a_message_although_the_wake_up_was_lost(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    deaf, theirs = PostgresStore(url), PostgresStore(url)
    deaf._tell = lambda growth: None  # type: ignore[method-assign]
    async with apart(tmp_path, deaf, theirs) as (first, second, ada, _ben):
        async with reading(second, first.tokens["ben"], "build") as (outlet, _task):
            await eventually(lambda: theirs._heads, what="its room is watched")
            for number in range(2):
                await ada.call(PostMessage(room="build", text=str(number)))
                await outlet.has(number + 1)
        assert outlet.texts == ["0", "1"]


async def test_two_hubs_report_an_unseen_message_once(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    clock = Clock()
    async with (
        running_hub(tmp_path / "a", store=PostgresStore(url), clock=clock) as first,
        running_hub(tmp_path / "b", store=PostgresStore(url), clock=clock) as second,
    ):
        ada, ben = await first.agent("ada", "code"), await first.agent("ben", "code")
        for number in range(4):
            await ada.call(CreateRoom(room=f"r{number}", open_to="all"))
            await ben.call(JoinRoom(room=f"r{number}"))
            for text in "abc":
                await ada.call(PostMessage(room=f"r{number}", text=text, to=("ben",), needs_ack=True, ttl_s=3600))
        clock.advance(5000)
        hubs = (first, second)
        await asyncio.gather(*(hub.app.dispatch.service(Clockwork).run_due() for hub in hubs))
        for number in range(4):
            events = (await ada.call(ReadEvents(room=f"r{number}", limit=100))).items
            assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
            reported = sorted(e["data"]["message"] for e in events if e["type"] == "delivery.failed")
            assert len(reported) == len(set(reported)) == 3
            assert [e["tombstone"] for e in events if e["type"] == "message.posted"] == ["expired"] * 3
