"""Issues and pull requests from a room, against a GitHub on loopback: what is sent, how often, what comes of it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from hub.core.caller import Caller
from hub.core.errors import Forbidden, HubError, RoomNotFound
from hub.core.event import EVENT_TYPES
from hub.features.discussion.contract import ExportDecisions, ListDecisions, RecordDecision
from hub.features.github import rules
from hub.features.github.contract import (
    AllowGithub,
    GetGithub,
    GetOpening,
    ListOpenings,
    Opening,
    OpenIssue,
    OpenPull,
    PreviewOpening,
    RetryOpening,
)
from hub.features.github.remote import TIMEOUT_S
from hub.features.github.worker import LEASE_MS, GithubWorker
from hub.features.hooks.contract import CreateHook
from hub.features.kanban.contract import AddCard, GetCard
from hub.features.messages.contract import ListMessages, PostMessage, RedactMessage
from hub.kernel.inbox.contract import ReadEvents, ReadInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, LeaveRoom, UpdateMember
from hub.log.log import load_body
from hub.settings import Settings, SettingsError
from tests.features.hooks.test_hooks import payload
from tests.log.test_rebuild import same_after_rebuild
from tests.support.github import TOKEN, Answer, FakeGithub, github_running
from tests.support.hubs import TestHub, running_hub
from tests.support.signing import signed
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


@dataclass
class Place:
    """The room `build`, whose owner allowed acme/app; ada is a member and no owner."""

    hub: TestHub
    github: FakeGithub
    owner: Caller
    ada: Caller

    @property
    def worker(self) -> GithubWorker:
        return self.hub.app.service(GithubWorker)

    async def issue(self, **fields: Any) -> Opening:
        """An issue asked for by ada, when it is known what became of it."""
        return await self.settled(await self.ada.call(OpenIssue(room="build", **fields)))

    async def settled(self, opening: Opening) -> Opening:
        return await self.ada.call(GetOpening(room="build", opening=opening.id, wait_s=55))

    async def now(self, opening: Opening) -> Opening:
        return await self.ada.call(GetOpening(room="build", opening=opening.id))

    async def waits(self, opening: Opening) -> Opening:
        """The opening, once it was tried and waits for the next time."""

        async def tried() -> Opening | None:
            found = await self.now(opening)
            assert found.state == "queued", found
            return found if found.reason else None

        found = await eventually(tried, within_s=40)
        assert isinstance(found, Opening)
        return found

    async def pass_time(self, seconds: float) -> None:
        """The clock goes on, and what is due by then is done."""
        self.hub.clock.advance(seconds)
        while await self.worker.work():
            pass

    async def said(self) -> list[tuple[str, str, str | None]]:
        items = (await self.owner.call(ListMessages(room="build"))).items
        return [(message.sender, message.text, message.reply_to) for message in items]


@asynccontextmanager
async def place_at(home: Path, github: FakeGithub, **settings: Any) -> AsyncIterator[Place]:
    settings = {"github_token": TOKEN, "github_api": github.address, **settings}
    async with running_hub(home, **settings) as hub:
        hub.app.service(GithubWorker).pause_s = 0
        owner, ada = await hub.local(), await hub.agent("ada", "code")
        await owner.call(CreateRoom(room="build", open_to="all"))
        await owner.call(AllowGithub(room="build", repositories=("acme/app",)))
        await ada.call(JoinRoom(room="build"))
        yield Place(hub, github, owner, ada)


@pytest.fixture
async def github(anyio_backend: str) -> AsyncIterator[FakeGithub]:
    async with github_running() as fake:
        yield fake


@pytest.fixture
async def place(tmp_path: Path, github: FakeGithub) -> AsyncIterator[Place]:
    async with place_at(tmp_path, github) as made:
        yield made


# --- what is sent and linked -------------------------------------------------------------------------------------


async def test_an_issue_quotes_what_it_is_about_and_is_linked_to_all_of_it(place: Place) -> None:
    message = await place.owner.call(PostMessage(room="build", text="Login is slow\nsince @octocat merged #12"))
    card = await place.ada.call(AddCard(room="build", title="Speed login up", body="2 s is too much"))
    decision = await place.owner.call(RecordDecision(room="build", what="Login first."))
    made = await place.issue(about=(message.id, card.id, decision.id), body="Please look.", labels=("slow",))

    [there] = place.github.made
    assert (made.state, made.number, made.url) == ("opened", 1, there["html_url"])
    assert there["title"] == "Login is slow"
    assert [label["name"] for label in there["labels"]] == ["slow"]
    assert there["body"].startswith(f"Please look.\n\nMessage `{message.id}` by `local`, ")
    for quoted in ("> Login is slow\n> since @\u200boctocat merged #\u200b12", "> 2 s is too much", "> Login first."):
        assert quoted in there["body"]
    assert "Opened from the room `build` by `ada`." in there["body"]

    assert (await place.ada.call(GetCard(room="build", card=card.id))).links == (made.url,)
    assert (await place.said())[-1] == ("hub", f"ada opened issue acme/app#1: {made.url}", message.id)
    [line] = (await place.ada.call(ListDecisions(room="build"))).items
    assert line.links == (made.url,)
    assert str(made.url) in (await place.ada.call(ExportDecisions(room="build"))).text
    assert [one.id for one in (await place.ada.call(ListOpenings(room="build", about=card.id))).items] == [made.id]
    notices = [m.text for m in (await place.ada.call(ReadInbox())).messages if m.kind == "notice"]
    assert f"{made.id}: issue acme/app#1 is open: {made.url}" in notices
    assert await place.hub.app.store.write(same_after_rebuild) == []


async def test_a_pull_request_goes_to_the_default_branch_and_its_card_to_review(place: Place) -> None:
    hook = await place.owner.call(CreateHook(room="build"))
    card = await place.ada.call(AddCard(room="build", title="Speed login up"))
    asked = await place.ada.call(OpenPull(room="build", head="login", about=(card.id,), draft=True))
    made = await place.settled(asked)
    assert (made.state, made.kind, made.url) == ("opened", "pull", "https://github.com/acme/app/pull/1")
    assert place.github.calls[0] == ("GET", "/repos/acme/app"), "asked for its default branch"
    linked = await place.ada.call(GetCard(room="build", card=card.id))
    assert (linked.links, linked.column) == ((made.url,), "review")

    async def github_says(action: str, delivery: str, **more: Any) -> Any:
        said = payload(action, "pull_request", **more)
        said["pull_request"]["html_url"] = made.url
        body = orjson.dumps(said)
        async with place.hub.client(place.hub.local_token) as client:
            headers = signed(hook.secret or "", body, "pull_request", delivery)
            return (await client.http.post(hook.path, content=body, headers=headers)).json()

    assert (await github_says("opened", "d-1"))["moved"] == [], "it is there already"
    assert (await github_says("closed", "d-2", merged=True))["moved"] == [card.id]
    assert (await place.ada.call(GetCard(room="build", card=card.id))).column == "done"


async def test_what_github_says_of_an_issue_goes_to_the_thread_it_came_from(place: Place) -> None:
    hook = await place.owner.call(CreateHook(room="build"))
    message = await place.owner.call(PostMessage(room="build", text="Login is slow"))
    made = await place.issue(about=(message.id,))
    said = payload("closed")
    said["issue"]["html_url"] = made.url
    body = orjson.dumps(said)
    async with place.hub.client(place.hub.local_token) as client:
        headers = signed(hook.secret or "", body, "issues", "d-1")
        assert (await client.http.post(hook.path, content=body, headers=headers)).json()["posted"]
    sender, text, reply_to = (await place.said())[-1]
    assert (sender, "octocat closed" in text, reply_to) == ("hub", True, message.id)


async def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(place: Place) -> None:
    card = await place.ada.call(AddCard(room="build", title="Speed login up", checklist=({"text": "measure"},)))
    preview = await place.ada.call(PreviewOpening(room="build", about=(card.id,), body="Soon."))
    assert (preview.repo, preview.title) == ("acme/app", "Speed login up")
    assert "> - [ ] measure" in preview.body
    assert place.github.calls == []
    assert (await place.ada.call(ListOpenings(room="build"))).items == ()
    await place.issue(about=(card.id,), body="Soon.")
    sent = place.github.made[0]["body"]
    marker = sent[len(preview.body) :]
    assert sent.startswith(preview.body)
    assert marker.startswith("\n\n<!-- opened-by-multi-agent-bridge:")


async def test_a_title_alone_is_enough_and_the_room_hears_of_it(place: Place) -> None:
    made = await place.issue(title="  A\n plain   title ")
    assert place.github.made[0]["title"] == "A plain title"
    assert (await place.said())[-1] == ("hub", f"ada opened issue acme/app#1: {made.url}", None)


async def test_a_card_that_cannot_take_the_link_is_named(place: Place) -> None:
    full = await place.ada.call(
        AddCard(room="build", title="Full", links=tuple(f"https://example.org/{n}" for n in range(50)))
    )
    made = await place.issue(about=(full.id,))
    assert made.state == "opened"
    assert [why.split(":")[0] for why in made.not_linked] == [full.id]


# --- once, whatever happens --------------------------------------------------------------------------------------


async def test_an_answer_that_got_lost_is_looked_up_and_nothing_is_sent_twice(place: Place) -> None:
    place.github.faults = ["lost"]
    opening = await place.ada.call(OpenIssue(room="build", title="Login is slow"))
    waiting = await place.waits(opening)
    assert "the connection to GitHub broke" in waiting.reason
    assert waiting.next_try_at is not None
    await place.pass_time(3)
    found = await place.settled(opening)
    assert (found.state, found.url) == ("opened", place.github.made[0]["html_url"])
    assert (place.github.mutations(), len(place.github.made)) == (1, 1)


async def test_a_hub_that_stops_while_github_answers_finds_it_when_it_is_back(
    tmp_path: Path, github: FakeGithub
) -> None:
    github.faults = ["late"]
    async with place_at(tmp_path, github) as place:
        opening = await place.ada.call(OpenIssue(room="build", title="Login is slow"))
        await github.arrived.wait()
        token = place.hub.tokens["ada"]
    assert len(github.made) == 1
    async with running_hub(tmp_path, github_token=TOKEN, github_api=github.address) as hub:
        ada = await hub.caller(token)
        found = await ada.call(GetOpening(room="build", opening=opening.id, wait_s=55))
        assert (found.state, found.number) == ("opened", 1)
    assert (github.mutations(), len(github.made)) == (1, 1)


async def test_data_from_a_backup_finds_what_was_sent_since(tmp_path: Path, github: FakeGithub) -> None:
    github.faults = [Answer(403, {"message": "secondary rate limit"}, {"retry-after": "60"})]
    async with place_at(tmp_path / "now", github) as place:
        opening = await place.ada.call(OpenIssue(room="build", title="Login is slow"))
        await place.waits(opening)
        token = place.hub.tokens["ada"]
    shutil.copytree(tmp_path / "now", tmp_path / "backup")
    for home in ("now", "backup"):
        async with running_hub(tmp_path / home, github_token=TOKEN, github_api=github.address) as hub:
            ada = await hub.caller(token)
            hub.clock.advance(61)
            found = await ada.call(GetOpening(room="build", opening=opening.id, wait_s=55))
            assert (found.state, found.number, len(github.made)) == ("opened", 1, 1), home


async def test_what_cannot_be_known_is_said_and_a_person_decides(place: Place) -> None:
    place.github.faults = ["deaf"]
    opening = await place.ada.call(OpenIssue(room="build", title="Login is slow"))
    await place.waits(opening)
    for _ in range(rules.LOOKS):
        await place.pass_time(700)
    unknown = await place.settled(opening)
    assert (unknown.state, unknown.code) == ("unknown", "unknown")
    assert "github.retry looks again" in unknown.reason
    assert place.github.mutations() == 1, "never sent again by itself"
    await place.ada.call(RetryOpening(room="build", opening=opening.id))
    assert (await place.settled(opening)).state == "opened"
    assert (place.github.mutations(), len(place.github.made)) == (2, 1)


async def test_a_retry_finds_what_turned_up_late_and_sends_nothing(place: Place) -> None:
    place.github.faults = ["lost"]
    gone = Answer(503, {"message": "unicorns"})
    place.github.look_faults = [gone] * rules.LOOKS
    opening = await place.ada.call(OpenIssue(room="build", title="Login is slow"))
    await place.waits(opening)
    for _ in range(rules.LOOKS):
        await place.pass_time(700)
    unknown = await place.settled(opening)
    assert (unknown.state, "GitHub answered 503 (GitHub: unicorns)" in unknown.reason) == ("unknown", True)
    await place.ada.call(RetryOpening(room="build", opening=opening.id))
    assert (await place.settled(opening)).url == place.github.made[0]["html_url"]
    assert (place.github.mutations(), len(place.github.made)) == (1, 1)


async def test_the_same_wish_again_opens_nothing_unless_it_is_meant(place: Place) -> None:
    card = await place.ada.call(AddCard(room="build", title="Speed login up"))
    wish = OpenIssue(room="build", about=(card.id,))
    first = await place.ada.call(wish, key="once")
    assert (await place.ada.call(wish, key="once")).deduplicated
    made = await place.settled(first)
    with pytest.raises(rules.AlreadyAtGithub, match=str(made.url)) as caught:
        await place.owner.call(wish)
    assert caught.value.extra["opening"]["id"] == made.id
    await place.settled(await place.owner.call(OpenIssue(room="build", about=(card.id,), again=True)))
    assert len(place.github.made) == 2
    with pytest.raises(rules.NotRetryable, match="is open: "):
        await place.ada.call(RetryOpening(room="build", opening=made.id))


# --- refusals ----------------------------------------------------------------------------------------------------

SAID = {"message": "Bad things", "documentation_url": "x"}
REFUSALS = [
    (Answer(401, SAID), "bad-token", "its operator sets a new one"),
    (Answer(403, SAID), "forbidden", "write access"),
    (Answer(404, SAID), "not-found", "check the name and the token"),
    (Answer(410, SAID), "gone", "issues switched off"),
    (Answer(301, SAID, {"location": "https://api.github.com/repositories/1/issues"}), "moved", "an owner allows its new"),
    (Answer(422, {**SAID, "errors": [{"resource": "Issue", "field": "title", "code": "missing_field"}]}), "invalid",
     "Bad things; Issue title missing_field"),
    (Answer(451, b"<html>"), "refused", "GitHub answered 451"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "code", "advice"), REFUSALS, ids=[code for _, code, _ in REFUSALS])
async def test_what_github_refuses_is_said_with_what_to_do(
    place: Place, answer: Answer, code: str, advice: str
) -> None:
    place.github.faults = [answer]
    failed = await place.issue(title="Login is slow")
    assert (failed.state, failed.code) == ("failed", code)
    assert advice in failed.reason
    assert place.github.mutations() == 1, "a refusal is not tried again by itself"
    notices = [m.text for m in (await place.ada.call(ReadInbox())).messages if m.kind == "notice"]
    assert any(failed.reason in text for text in notices)
    await place.ada.call(RetryOpening(room="build", opening=failed.id))
    assert (await place.settled(failed)).state == "opened"


async def test_a_rate_limit_is_waited_for(place: Place) -> None:
    said = {"message": "You have exceeded a secondary rate limit", "documentation_url": "x"}
    place.github.faults = [Answer(403, said, {"retry-after": "90"}), Answer(403, said), Answer(429, said)]
    opening = await place.ada.call(OpenIssue(room="build", title="Login is slow"))
    waiting = await place.waits(opening)
    assert "rate limit is used up (GitHub: You have exceeded a secondary rate limit)" in waiting.reason
    await place.pass_time(80)
    assert place.github.mutations() == 1
    for _ in range(3):
        await place.pass_time(91)
    assert (await place.settled(opening)).state == "opened"
    assert (place.github.mutations(), len(place.github.made)) == (4, 1)


async def test_a_limit_that_ends_too_late_is_a_failure(place: Place) -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4000000000"}
    place.github.faults = [Answer(403, {"message": "API rate limit exceeded"}, headers)]
    failed = await place.issue(title="Login is slow")
    assert (failed.state, failed.code) == ("failed", "rate-limited")
    assert "nothing was sent" in failed.reason


async def test_a_github_that_cannot_be_reached_is_tried_again_and_then_given_up(
    tmp_path: Path, github: FakeGithub
) -> None:
    async with place_at(tmp_path, github, github_api="http://127.0.0.1:9") as place:
        opening = await place.ada.call(OpenIssue(room="build", title="Login is slow"))
        assert "GitHub cannot be reached (ConnectError)" in (await place.waits(opening)).reason
        for _ in range(rules.SENDS):
            await place.pass_time(700)
        failed = await place.settled(opening)
        assert (failed.state, failed.code) == ("failed", "unreachable")


async def test_a_pull_request_says_what_github_says(place: Place) -> None:
    failed = await place.settled(await place.ada.call(OpenPull(room="build", title="x", head="nowhere")))
    assert (failed.code, "PullRequest head invalid" in failed.reason) == ("invalid", True)
    await place.settled(await place.ada.call(OpenPull(room="build", title="x", head="login", base="main")))
    twice = await place.settled(await place.ada.call(OpenPull(room="build", title="y", head="login")))
    assert "A pull request already exists for acme:login." in twice.reason


# --- who may, and where ------------------------------------------------------------------------------------------


async def test_only_what_an_owner_allowed_can_be_reached(place: Place) -> None:
    place.github.repo("acme/secret")
    with pytest.raises(rules.RepositoryNotAllowed, match=r"allowed: acme/app\. An owner can add it") as caught:
        await place.ada.call(OpenIssue(room="build", title="x", repo="acme/secret"))
    assert caught.value.extra["repositories"] == ["acme/app"]
    with pytest.raises(Forbidden):
        await place.ada.call(AllowGithub(room="build", repositories=("acme/secret",)))
    allowed = await place.owner.call(AllowGithub(room="build", repositories=("acme/app", "Acme/App", "acme/other")))
    assert allowed.repositories == ("acme/app", "acme/other")
    made = await place.issue(title="x", repo="ACME/App")
    assert made.repo == "acme/app"
    await place.owner.call(AllowGithub(room="build", repositories=()))
    with pytest.raises(rules.RepositoryNotAllowed, match="mcp-bridge github allow"):
        await place.ada.call(OpenIssue(room="build", title="x"))
    stranger = await place.hub.agent("eve", "code")
    with pytest.raises(RoomNotFound):
        await stranger.call(OpenIssue(room="build", title="x"))
    assert len(place.github.made) == 1


async def test_an_owner_without_the_scope_allows_nothing(place: Place) -> None:
    await place.owner.call(UpdateMember(room="build", agent="ada", access="owner"))
    with pytest.raises(Forbidden, match="webhook:admin"):
        await place.ada.call(AllowGithub(room="build", repositories=("acme/secret",)))


@pytest.mark.parametrize("change", ["leaves", "reads", "repository", "blanked"])
async def test_what_changed_before_it_is_sent_counts(place: Place, change: str) -> None:
    message = await place.ada.call(PostMessage(room="build", text="the password is 1234"))
    place.github.faults = [Answer(403, {"message": "secondary rate limit"}, {"retry-after": "60"})]
    opening = await place.ada.call(OpenIssue(room="build", title="Login", body="See below", about=(message.id,)))
    await place.waits(opening)
    if change == "leaves":
        await place.ada.call(LeaveRoom(room="build"))
    elif change == "reads":
        await place.owner.call(UpdateMember(room="build", agent="ada", access="reader"))
    elif change == "repository":
        await place.owner.call(AllowGithub(room="build", repositories=("acme/other",)))
    else:
        await place.ada.call(RedactMessage(room="build", message=message.id))
    await place.pass_time(61)
    found = (await place.owner.call(ListOpenings(room="build"))).items[0]
    if change != "blanked":
        code = "repository-not-allowed" if change == "repository" else "forbidden"
        assert (found.state, found.code, place.github.made) == ("failed", code, [])
        return
    assert found.state == "opened"
    assert "1234" not in json.dumps(place.github.made)


async def test_without_a_token_the_hub_says_how_to_get_one(tmp_path: Path, github: FakeGithub) -> None:
    async with place_at(tmp_path, github, github_token="") as place:
        with pytest.raises(rules.GithubOff, match="BRIDGE_GITHUB_TOKEN"):
            await place.ada.call(OpenIssue(room="build", title="x"))
        assert "BRIDGE_GITHUB_TOKEN" in (await place.ada.call(GetGithub(room="build"))).missing
        preview = await place.ada.call(PreviewOpening(room="build", title="x"))
        assert preview.title == "x", "a dry run needs no token"


async def test_the_token_stands_nowhere(tmp_path: Path, github: FakeGithub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with place_at(tmp_path, github) as place:
        github.faults = [Answer(401, {"message": "Bad credentials"}), Answer(500, b"oops"), "lost"]
        for title in ("one", "two", "three", "four"):
            await place.ada.call(OpenIssue(room="build", title=title))
        for _ in range(6):
            await place.pass_time(700)
        assert TOKEN not in repr(place.hub.app.settings)
        async with place.hub.client(place.hub.local_token) as client:
            assert TOKEN not in (await client.http.get("/v1/rooms/build/events")).text
    assert TOKEN not in caplog.text
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]


async def test_a_room_can_ask_for_no_more_than_the_hub_gets_rid_of(place: Place) -> None:
    place.github.faults = [Answer(403, {"message": "secondary rate limit"}, {"retry-after": "3000"})] * 60
    for number in range(rules.MOST_WAITING):
        await place.ada.call(OpenIssue(room="build", title=f"Number {number}"))
    with pytest.raises(rules.GithubBusy, match="50 issues and pull requests"):
        await place.ada.call(OpenIssue(room="build", title="One more"))


BAD: list[dict[str, Any]] = [
    {"repo": "acme"},
    {"repo": "acme/.."},
    {"repo": "../../user"},
    {"repo": "acme/app/issues"},
    {"repo": "https://github.com/acme/app"},
    {"title": " \n "},
    {"title": "x" * 257},
    {"about": ("m1-1",) * 11 + tuple(f"m1-{n}" for n in "23456789abcd")},
    {"about": ("nonsense",)},
    {"token": "ghp_mine"},
    {"by": "ben"},
]


@pytest.mark.parametrize("wrong", BAD, ids=str)
async def test_bad_input_is_refused_with_a_reason(place: Place, wrong: dict[str, Any]) -> None:
    async with place.hub.client(place.hub.tokens["ada"]) as client:
        answer = await client.http.post("/v1/rooms/build/github/issues", json={"title": "x", **wrong})
        assert (answer.status_code, answer.json()["code"]) in ((422, "invalid"), (422, "sender-mismatch")), answer.text
        branch = await client.http.post("/v1/rooms/build/github/pulls", json={"title": "x", "head": "--x y"})
        assert branch.status_code == 422
    assert place.github.calls == []


@pytest.mark.parametrize("about", ["m1-zzz", "c9-9", "d9-9", "p1-1", "f1-1"])
async def test_a_thing_that_is_not_here_is_no_source(place: Place, about: str) -> None:
    with pytest.raises(HubError) as caught:
        await place.ada.call(OpenIssue(room="build", title="x", about=(about,)))
    assert caught.value.status == 404
    with pytest.raises(HubError, match="give a title"):
        await place.ada.call(OpenIssue(room="build"))


async def test_every_end_is_an_event(place: Place) -> None:
    place.github.faults = [Answer(404, SAID)]
    await place.issue(title="one")
    await place.issue(title="two")
    events = (await place.ada.call(ReadEvents(room="build"))).items
    kinds = [event["type"] for event in events if str(event["type"]).startswith("github.")]
    assert kinds == ["github.allowed", "github.asked", "github.not_opened", "github.asked", "github.opened"]
    assert LEASE_MS > 2 * 1000 * (TIMEOUT_S + 10), "who holds a job has ended its calls before another hub looks"


async def test_an_enterprise_server_has_its_api_below_a_path(tmp_path: Path, github: FakeGithub) -> None:
    async with place_at(tmp_path, github, github_api=f"{github.address}/api/v3") as place:
        assert (await place.issue(title="x")).state == "opened"
        assert github.calls == [("POST", "/api/v3/repos/acme/app/issues")]


@pytest.mark.parametrize("address", ["http://github.example.org", "ftp://127.0.0.1", "api.github.com", ""])
def test_the_token_is_sent_to_an_https_address_only(address: str) -> None:
    with pytest.raises(SettingsError, match="github_api"):
        Settings(github_token=TOKEN, github_api=address)


# what was written once must load for ever; lines are only added
WRITTEN: list[tuple[str, dict[str, Any]]] = [
    ("github.allowed", {"repositories": ["acme/app"]}),
    ("github.asked", {"id": "g2-5", "kind": "pull", "repo": "acme/app", "title": "x", "body": "y", "about": ["c2-4"],
                      "labels": [], "assignees": [], "head": "login", "base": "main", "draft": True}),
    ("github.asked", {"kind": "issue", "repo": "acme/app", "about": ["c2-4"]}),  # as it is left when it is blanked
    ("github.retried", {"opening": "g2-5"}),
    ("github.opened", {"opening": "g2-5", "asker": 3, "kind": "pull", "repo": "acme/app", "number": 7,
                       "url": "https://github.com/acme/app/pull/7", "about": ["c2-4"], "not_linked": ["c2-4: full"]}),
    ("github.not_opened", {"opening": "g2-5", "asker": 3, "state": "unknown", "code": "unknown", "reason": "lost"}),
]  # fmt: skip


def test_there_is_an_example_of_every_event_and_it_loads() -> None:
    assert {kind for kind, _ in WRITTEN} == {name for name in EVENT_TYPES if name.startswith("github.")}
    for kind, data in WRITTEN:
        loaded = load_body(kind, orjson.dumps(data)).model_dump(mode="json", exclude_none=True)
        assert loaded.items() >= {k: v for k, v in data.items() if k != "id"}.items()
