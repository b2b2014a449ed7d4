"""A question as leased work: one worker at a time, one answer, never sent twice. In-process and over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from hub import features
from hub.core.caller import Caller
from hub.core.errors import HubError
from hub.features.jobs.contract import (
    ClaimJob,
    ExtendJob,
    FinishJob,
    GetJob,
    Leased,
    ProgressSignal,
    ReleaseJob,
    ReportProgress,
    SubmitJob,
)
from hub.features.messages.contract import GetAnswers, ListMessages, PostMessage, RedactMessage
from hub.kernel.rooms.contract import CreateRoom, GetRoom, JoinRoom, LeaveRoom
from hub.log.log import find_stream
from hub.log.rebuild import dump, rebuild
from hub.server.subscription import Subscription
from hub.server.timers import Clockwork
from hub.storage.interface import Tx
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio


async def two(hub: TestHub) -> tuple[Caller, Caller]:
    ada, tab = await hub.agent("ada", "code"), await hub.agent("browser-1", "browser")
    await ada.call(CreateRoom(room="build", open_to="owner"))
    await tab.call(JoinRoom(room="build"))
    return ada, tab


async def ask(ada: Caller, text: str = "why?", to: str = "browser-1") -> str:
    return (await ada.call(PostMessage(room="build", text=text, kind="question", intent="request", to=(to,)))).id


async def claim(tab: Caller, lease_s: int = 60) -> Leased | None:
    items = (await tab.call(ClaimJob(lease_s=lease_s))).items
    return items[0] if items else None


async def must_claim(tab: Caller, lease_s: int = 60) -> Leased:
    leased = await claim(tab, lease_s)
    assert leased is not None, "a job was expected"
    return leased


def finish(leased: Leased, text: str = "because", **more: str) -> FinishJob:
    fields = {"room": leased.room, "job": leased.job, "lease_token": leased.lease_token, "text": text, **more}
    return FinishJob.model_validate(fields)


async def refused(
    caller: Caller, request: FinishJob | SubmitJob | ExtendJob | ReleaseJob | ReportProgress | GetJob
) -> str:
    with pytest.raises(HubError) as caught:
        await caller.call(request)
    return caught.value.code


async def test_a_question_becomes_a_job_and_finishing_posts_its_answer(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    question = await ask(ada, "why <b>&amp;</b>?", to="@browser")
    leased = await must_claim(tab)
    assert (leased.job, leased.room, leased.question.text) == (question, "build", "why <b>&amp;</b>?")
    assert (leased.attempt, leased.submitted) == (1, False)
    done = await tab.call(finish(leased))
    assert done.state == "answered"
    answers = (await ada.call(GetAnswers(room="build", question=question))).items
    assert [(a.id, a.text, a.kind, a.reply_to, a.sender) for a in answers] == [
        (done.answer, "because", "answer", question, "browser-1")
    ]
    assert await claim(tab) is None


async def test_finishing_twice_posts_one_answer(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    question = await ask(ada)
    leased = await must_claim(tab)
    first = await tab.call(finish(leased))
    again = await tab.call(finish(leased, "another text"))
    assert again.deduplicated
    assert again.answer == first.answer
    assert len((await ada.call(GetAnswers(room="build", question=question))).items) == 1


async def test_a_second_claim_waits_until_the_first_job_is_finished(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    first, second = await ask(ada, "one"), await ask(ada, "two")
    leased = await must_claim(tab)
    assert leased.job == first
    assert await claim(tab) is None
    await tab.call(finish(leased))
    assert (await must_claim(tab)).job == second


async def test_a_late_answer_is_fenced_once_someone_else_claimed(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    question = await ask(ada)
    late = await must_claim(tab, lease_s=5)
    surface_hub.clock.advance(6)
    assert (await tab.call(GetJob(room="build", job=question))).state == "queued"
    current = await must_claim(tab)
    assert current.attempt == 2
    assert await refused(tab, finish(late)) == "stale-lease"
    assert (await tab.call(finish(current))).state == "answered"


async def test_a_lapsed_lease_that_nobody_took_may_still_answer(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    await ask(ada)
    leased = await must_claim(tab, lease_s=5)
    surface_hub.clock.advance(600)
    assert (await tab.call(finish(leased))).state == "answered"


async def test_a_later_attempt_knows_that_the_prompt_was_submitted(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    await ask(ada, "untouched")
    await tab.call(ReleaseJob(room="build", job=(x := await must_claim(tab)).job, lease_token=x.lease_token))
    leased = await must_claim(tab, lease_s=5)
    await tab.call(SubmitJob(room="build", job=leased.job, lease_token=leased.lease_token))
    surface_hub.clock.advance(6)
    assert (await tab.call(GetJob(room="build", job=leased.job))).state == "submitted"
    again = await must_claim(tab)
    assert (again.job, again.submitted) == (leased.job, True)
    done = await tab.call(finish(again, "the page was reloaded", outcome="unknown", error="page-reloaded"))
    assert done.state == "unknown"
    messages = (await ada.call(ListMessages(room="build"))).items
    assert messages[-1].metadata == {"job": {"outcome": "unknown", "error": "page-reloaded"}}


async def test_extending_keeps_the_lease_and_releasing_gives_it_back(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    await ask(ada)
    leased = await must_claim(tab, lease_s=5)
    held = {"room": "build", "job": leased.job, "lease_token": leased.lease_token}
    await tab.call(ExtendJob.model_validate({**held, "lease_s": 120}))
    surface_hub.clock.advance(60)
    assert await claim(tab) is None
    assert (await tab.call(ReleaseJob.model_validate(held))).state == "queued"
    assert (await must_claim(tab)).attempt == 2
    assert await refused(tab, ExtendJob.model_validate(held)) == "stale-lease"


async def test_a_person_who_answers_closes_the_job_for_the_worker(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    question = await ask(ada)
    leased = await must_claim(tab)
    await tab.call(PostMessage(room="build", text="working on it", reply_to=question))
    assert (await tab.call(GetJob(room="build", job=question))).state == "leased"
    await tab.call(PostMessage(room="build", text="typed by hand", kind="answer", reply_to=question))
    assert await refused(tab, finish(leased)) == "job-closed"
    assert await claim(tab) is None


async def test_a_redacted_question_is_not_worked_on(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    question, second = await ask(ada), await ask(ada, "two")
    leased = await must_claim(tab)
    await ada.call(RedactMessage(room="build", message=question))
    assert await refused(tab, finish(leased)) == "job-closed"
    assert (await must_claim(tab)).job == second


async def test_only_the_recipient_can_claim_and_only_members_can_look(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    question = await ask(ada)
    other = await surface_hub.agent("browser-2", "browser")
    assert await claim(other) is None
    assert await refused(other, GetJob(room="build", job=question, agent="browser-1")) == "room-not-found"
    await other.call(JoinRoom(room="build"))
    assert await refused(other, GetJob(room="build", job=question)) == "job-not-found"
    assert (await ada.call(GetJob(room="build", job=question, agent="browser-1"))).state == "queued"
    stolen = FinishJob(room="build", job=question, lease_token="x" * 16, text="forged")
    assert await refused(other, stolen) == "job-not-found"
    assert await refused(tab, stolen) == "stale-lease"


async def test_a_worker_that_left_the_room_gets_none_of_its_questions(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    await ask(ada)
    await tab.call(LeaveRoom(room="build"))
    assert await claim(tab) is None


async def test_open_questions_rebuilt_from_the_log_equal_the_live_ones(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    await ask(ada, "answered")
    await ask(ada, "open")
    await tab.call(finish(await must_claim(tab)))

    def both(tx: Tx) -> tuple[object, object]:
        stream = find_stream(tx, "room", "build")
        assert stream is not None
        live = dump(tx, stream, ["open_question"])
        rebuild(tx, stream, features.projection_tables(), features.event_tables())
        return live, dump(tx, stream, ["open_question"])

    live, again = await surface_hub.app.store.write(both)
    assert live == again
    assert len(live["open_question"]) == 1  # type: ignore[index]


async def test_whoever_asked_sees_what_the_job_waits_for_and_the_answer_growing(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    question = await ask(ada)
    leased = await must_claim(tab, lease_s=5)
    held = {"room": "build", "job": question, "lease_token": leased.lease_token}
    look = {"room": "build", "job": question, "agent": "browser-1"}
    seen = await ada.call(GetJob.model_validate(look))
    waiting = asyncio.create_task(ada.call(GetJob.model_validate({**look, "wait_s": 20, "after": seen.revision})))
    await tab.call(ReportProgress.model_validate({**held, "pending": "waiting for a person"}))
    pending = await waiting
    assert (pending.state, pending.pending, pending.partial) == ("leased", "waiting for a person", "")
    surface_hub.clock.advance(30)
    await tab.call(SubmitJob.model_validate(held))
    await tab.call(ReportProgress.model_validate({**held, "partial": "beca"}))
    growing = await ada.call(GetJob.model_validate(look))
    assert (growing.state, growing.pending, growing.partial) == ("submitted", "", "beca")
    waiting = asyncio.create_task(ada.call(GetJob.model_validate({**look, "wait_s": 20, "after": growing.revision})))
    await tab.call(finish(leased))
    done = await waiting
    assert (done.state, done.pending, done.partial) == ("answered", "", "")
    assert len((await ada.call(ListMessages(room="build"))).items) == 2


async def test_members_who_follow_the_room_see_the_answer_grow_and_the_log_does_not(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    question = await ask(ada)
    following = await follow(surface_hub, "ada")
    leased = await must_claim(tab)
    head = (await ada.call(GetRoom(room="build"))).head
    held = {"room": "build", "job": question, "lease_token": leased.lease_token}
    for progress in ({"pending": "waiting for a person"}, {"partial": "beca"}, {"partial": "é" * 5000}):
        await tab.call(ReportProgress.model_validate({**held, **progress}))
    heard = [ProgressSignal.model_validate_json(signal) for signal in (await following.next()).signals]
    about = {"room": "build", "job": question, "agent": "browser-1"}
    assert [signal.model_dump(exclude={"type"}) for signal in heard] == [
        {**about, "pending": "waiting for a person", "offset": 0, "text": ""},
        {**about, "pending": "", "offset": 0, "text": "beca"},
        {**about, "pending": "", "offset": 1000, "text": "é" * 4000},
    ]
    assert (await ada.call(GetRoom(room="build"))).head == head


async def test_who_is_not_in_the_room_gets_no_signal_of_its_jobs(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    eve = await surface_hub.agent("eve", "code")
    await eve.call(CreateRoom(room="other", open_to="owner"))
    following = await follow(surface_hub, "eve", "other")
    await ask(ada)
    leased = await must_claim(tab)
    held = {"room": "build", "job": leased.job, "lease_token": leased.lease_token}
    await tab.call(ReportProgress.model_validate({**held, "partial": "for the room only"}))
    await eve.call(PostMessage(room="other", text="a word"))
    batch = await following.next()
    assert (len(batch.pages), batch.signals) == (1, [])


async def test_progress_that_is_refused_is_not_signalled(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    question = await ask(ada)
    await must_claim(tab)
    following = await follow(surface_hub, "ada")
    wrong = ReportProgress(room="build", job=question, lease_token="l" * 33, partial="not mine")
    assert await refused(tab, wrong) == "stale-lease"
    await ada.call(PostMessage(room="build", text="a word"))
    assert (await following.next()).signals == []


async def follow(hub: TestHub, name: str, room: str = "build") -> Subscription:
    following = Subscription(hub.app.dispatch, await hub.app.authenticator.authenticate(hub.tokens[name]))
    await following.follow([room], {})
    return following


async def test_progress_under_a_stale_lease_is_refused(surface_hub: TestHub) -> None:
    ada, tab = await two(surface_hub)
    await ask(ada)
    late = await must_claim(tab, lease_s=5)
    surface_hub.clock.advance(6)
    await must_claim(tab)
    stale = ReportProgress(room="build", job=late.job, lease_token=late.lease_token, partial="x")
    assert await refused(tab, stale) == "stale-lease"


async def test_rows_of_closed_jobs_go_after_a_week_and_open_ones_stay(hub: TestHub) -> None:
    ada, tab = await two(hub)
    closed, still = await ask(ada, "one"), await ask(ada, "two")
    await tab.call(finish(await must_claim(tab), outcome="failed", error="limit-reached"))
    await must_claim(tab)

    def rows(tx: Tx) -> int:
        found = tx.row("select count(*) from job")
        assert found is not None
        return int(found[0])

    hub.clock.advance(6 * 86400)
    await hub.app.dispatch.service(Clockwork).run_due()
    assert await hub.app.store.read(rows) == 2
    hub.clock.advance(2 * 86400)
    await hub.app.dispatch.service(Clockwork).run_due()
    assert await hub.app.store.read(rows) == 1
    assert (await tab.call(GetJob(room="build", job=still))).state == "queued"
    (answer,) = (await ada.call(GetAnswers(room="build", question=closed))).items
    assert answer.metadata == {"job": {"outcome": "failed", "error": "limit-reached"}}


async def test_any_browser_means_the_online_one_with_the_fewest_open_questions(surface_hub: TestHub) -> None:
    ada, one = await two(surface_hub)
    other = await surface_hub.agent("browser-2", "browser")
    await other.call(JoinRoom(room="build"))
    asked = [await ask(ada, str(i), to="@browser") for i in range(2)]
    first, second = await must_claim(one), await must_claim(other)
    assert {first.job, second.job} == set(asked)
    await other.call(finish(second))
    third = await ask(ada, "third", to="@browser")
    assert (await must_claim(other)).job == third
