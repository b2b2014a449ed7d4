"""Signed calls from GitHub and others, over HTTP: who may call, what a room sees of it, which cards move."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.caller import Caller
from hub.core.errors import Forbidden
from hub.features.hooks.contract import CreateHook, Hook, ListHooks, RemoveHook
from hub.features.hooks.rules import BadSignature, HookNotFound, news, proof
from hub.features.kanban.contract import AddCard, GetCard
from hub.features.messages.contract import ListMessages
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateMember
from tests.log.test_rebuild import same_after_rebuild
from tests.support.hubs import TestHub
from tests.support.signing import signed

pytestmark = pytest.mark.anyio
ISSUE = "https://github.com/acme/app/issues/5"
PULL = "https://github.com/acme/app/pull/7"


def payload(action: str, kind: str = "issue", **more: Any) -> dict[str, Any]:
    """The parts of GitHub's webhook payloads that matter, as its reference gives them."""
    number, url = (5, ISSUE) if kind == "issue" else (7, PULL)
    thing = {"number": number, "title": "Login is slow", "html_url": url, **more}
    return {
        "action": action,
        kind: thing,
        "repository": {"full_name": "acme/app"},
        "sender": {"login": "octocat"},
    }


class Outside:
    """A service that calls a hook."""

    def __init__(self, http: httpx2.AsyncClient, hook: Hook) -> None:
        self._http, self.hook = http, hook
        self.secret = hook.secret or ""

    async def send(self, event: str, made: dict[str, Any], delivery: str = "d-1", **headers: str) -> Any:
        body = orjson.dumps(made)
        signature = signed(self.secret, body, event, delivery)
        return await self._http.post(self.hook.path, content=body, headers={**signature, **headers})


@asynccontextmanager
async def calling(hub: TestHub) -> AsyncIterator[tuple[Caller, Outside]]:
    """An owner of the room `build` with a GitHub hook, and GitHub."""
    local = await hub.local()
    await local.call(CreateRoom(room="build", open_to="all"))
    hook = await local.call(CreateHook(room="build"))
    transport = httpx2.ASGITransport(app=hub.app.asgi)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield local, Outside(http, hook)


@pytest.fixture
async def outside(hub: TestHub) -> AsyncIterator[tuple[Caller, Outside]]:
    async with calling(hub) as both:
        yield both


async def said(caller: Caller) -> list[str]:
    return [message.text for message in (await caller.call(ListMessages(room="build"))).items]


async def test_a_signed_call_is_posted_by_the_hub(outside: tuple[Caller, Outside]) -> None:
    local, service = outside
    answer = await service.send("issues", payload("opened"))
    assert (answer.status_code, answer.json()["posted"]) == (200, True)
    [message] = (await local.call(ListMessages(room="build"))).items
    assert (message.sender, message.tags) == ("hub", ("github",))
    assert message.text == f"[acme/app] octocat opened: issue #5 Login is slow {ISSUE}"
    assert message.metadata["hook"] == service.hook.id
    assert (await service.send("star", payload("created"), "d-2")).json() == {"posted": False}


async def test_a_wrong_signature_and_a_missing_hook_look_the_same(outside: tuple[Caller, Outside]) -> None:
    local, service = outside
    wrong = [
        await service.send("issues", payload("opened"), **{"x-hub-signature-256": "sha256=" + "0" * 64}),
        await service.send("issues", payload("opened"), **{"x-hub-signature-256": ""}),
    ]
    service.hook = service.hook.model_copy(update={"path": "/v1/hooks/h9-9"})
    wrong.append(await service.send("issues", payload("opened")))
    service.hook = service.hook.model_copy(update={"path": "/v1/hooks/nonsense"})
    wrong.append(await service.send("issues", payload("opened")))
    assert {(answer.status_code, answer.json()["code"], answer.json()["detail"]) for answer in wrong} == {
        (401, "bad-signature", wrong[0].json()["detail"])
    }
    assert await said(local) == []


async def test_a_recorded_call_does_nothing_again_even_under_a_new_id(outside: tuple[Caller, Outside]) -> None:
    local, service = outside
    await service.send("issues", payload("opened"), "d-1")
    for delivery in ("d-1", "d-2"):
        again = await service.send("issues", payload("opened"), delivery)
        assert (again.status_code, again.json()) == (200, {"posted": False, "deduplicated": True})
    assert len(await said(local)) == 1


async def test_linked_cards_go_where_the_hook_says(outside: tuple[Caller, Outside]) -> None:
    local, service = outside
    linked = await local.call(AddCard(room="build", title="Login", links=(PULL,)))
    other = await local.call(AddCard(room="build", title="Other", links=(PULL + "0",)))
    answer = await service.send("pull_request", payload("opened", "pull_request", merged=False))
    assert answer.json()["moved"] == [linked.id]
    assert (await local.call(GetCard(room="build", card=linked.id))).column == "review"
    await service.send("pull_request", payload("closed", "pull_request", merged=True), "d-2")
    assert (await local.call(GetCard(room="build", card=linked.id))).column == "done"
    assert (await local.call(GetCard(room="build", card=other.id))).column == "todo"
    assert (await said(local))[-1] == (
        f"[acme/app] octocat merged pull request #7 Login is slow {PULL}\n{linked.id} moved to done"
    )


async def test_standard_webhooks_are_taken_within_five_minutes_and_once(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    hook = await local.call(CreateHook(room="build", source="standard"))
    key = base64.b64decode((hook.secret or "").removeprefix("whsec_"))
    body = orjson.dumps({"text": "deployed"})

    def stamped(ident: str, at_s: int) -> dict[str, str]:
        made = hmac.new(key, f"{ident}.{at_s}.".encode() + body, hashlib.sha256).digest()
        values = {"webhook-id": ident, "webhook-timestamp": str(at_s), "content-type": "application/json"}
        return {**values, "webhook-signature": "v1,AAAA v1," + base64.b64encode(made).decode()}

    now_s = hub.clock.now_ms // 1000
    async with hub.client(hub.local_token) as client:
        first = await client.http.post(hook.path, content=body, headers=stamped("a", now_s))
        again = await client.http.post(hook.path, content=body, headers=stamped("a", now_s))
        late = await client.http.post(hook.path, content=body, headers=stamped("b", now_s - 301))
        moved = await client.http.post(hook.path, content=body, headers={**stamped("c", now_s), "webhook-id": "d"})
    assert [answer.status_code for answer in (first, again, late, moved)] == [200, 200, 401, 401]
    assert (first.json()["posted"], again.json()["posted"]) == (True, False)
    assert await said(local) == ["deployed"]


async def test_the_secret_is_shown_once_and_stands_in_no_log(outside: tuple[Caller, Outside], hub: TestHub) -> None:
    local, service = outside
    assert len(service.secret) == 48
    assert [hook.secret for hook in (await local.call(ListHooks(room="build"))).items] == [None]
    assert service.secret not in str((await local.call(ReadEvents(room="build"))).items)
    assert await hub.app.store.write(same_after_rebuild) == []
    assert (await service.send("ping", payload("x"))).status_code == 200


async def test_a_hook_ends_when_it_is_removed_or_its_author_may_not_write(hub: TestHub) -> None:
    local, bot = await hub.local(), await hub.agent("bot", scopes=("room:read", "room:send", "webhook:admin"))
    await local.call(CreateRoom(room="build", open_to="all"))
    await bot.call(JoinRoom(room="build"))
    with pytest.raises(Forbidden):
        await bot.call(CreateHook(room="build"))
    await local.call(UpdateMember(room="build", agent="bot", access="owner"))
    hook = await bot.call(CreateHook(room="build"))
    async with hub.client(hub.local_token) as client:
        service = Outside(client.http, hook)
        await local.call(UpdateMember(room="build", agent="bot", access="reader"))
        refused = await service.send("issues", payload("opened"))
        assert (refused.status_code, "bot, whose hook it is" in refused.json()["detail"]) == (403, True)
        await local.call(RemoveHook(room="build", hook=hook.id))
        assert (await service.send("issues", payload("opened"))).status_code == 401
    with pytest.raises(HookNotFound):
        await local.call(RemoveHook(room="build", hook=hook.id))


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"a":1,"a":2}', b"\xff", b'{"a":NaN}'])
async def test_a_body_that_is_no_object_is_refused(outside: tuple[Caller, Outside], body: bytes) -> None:
    _local, service = outside
    answer = await service._http.post(service.hook.path, content=body, headers=signed(service.secret, body, "issues"))
    assert 400 <= answer.status_code < 500
    form = {**signed(service.secret, b"x", "issues"), "content-type": "application/x-www-form-urlencoded"}
    assert (await service._http.post(service.hook.path, content=b"x", headers=form)).status_code == 415


KEYS = ["action", "issue", "pull_request", "repository", "sender", "commits", "title", "number", "html_url", "login"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=10,
)
EVENTS = [
    "ping",
    "issues",
    "pull_request",
    "issue_comment",
    "pull_request_review",
    "push",
    "workflow_run",
    "release",
    "",
]


@given(st.sampled_from(EVENTS), st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6))
def test_no_payload_breaks_the_reading(event: str, made: dict[str, Any]) -> None:
    found = news(event, made)
    assert found is None or "\n" not in found.text


def test_the_signature_is_githubs_own_example() -> None:
    """From GitHub's documentation of webhook deliveries."""
    body, secret = b"Hello, World!", "It's a Secret to Everybody"
    right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert proof("github", secret, {"x-hub-signature-256": right}, body, 0) == (right,)
    for wrong in (right[:-1] + "0", "sha256=é", right.upper(), right.removeprefix("sha256=")):
        with pytest.raises(BadSignature):
            proof("github", secret, {"x-hub-signature-256": wrong}, body, 0)
