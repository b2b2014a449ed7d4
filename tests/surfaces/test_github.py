"""An issue from a card, told once and played through HTTP, client, MCP and command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from hub.client import HubClient
from hub.features.github.contract import (
    AllowGithub,
    GetOpening,
    ListOpenings,
    OpenIssue,
    OpenPull,
    PreviewOpening,
    RetryOpening,
)
from hub.features.kanban.contract import AddCard, GetCard
from tests.support.github import TOKEN, Answer, FakeGithub, github_running
from tests.support.surfaces import SURFACES, Hand, Refused, Stage, open_http, open_tools, register, stage_on

pytestmark = pytest.mark.anyio
Scene = tuple[Stage, FakeGithub]


@pytest.fixture(params=SURFACES)
async def scene(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Scene]:
    async with (
        github_running() as github,
        stage_on(tmp_path, request.param, github_token=TOKEN, github_api=github.address) as stage,
    ):
        yield stage, github


def by(action: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "github", {"action": action, "room": "build", **more}


async def settled(hand: Hand, opening: str) -> dict[str, Any]:
    return await hand.do(
        GetOpening(room="build", opening=opening, wait_s=50),
        tool=by("list", opening=opening),
        command=["github", "show", "build", opening, "--wait-s", "50"],
    )


async def newest(hand: Hand) -> dict[str, Any]:
    page = await hand.do(ListOpenings(room="build"), tool=by("list"), command=["github", "list", "build"])
    found: dict[str, Any] = (page.get("openings") or page["items"])[0]
    return found


async def test_a_card_becomes_an_issue_and_a_branch_a_pull_request(scene: Scene) -> None:
    stage, github = scene
    ada = await stage.person("ada")
    caller = stage.caller[id(ada)]
    async with HubClient(stage.served.url, stage.served.token) as local:
        await local.call(AllowGithub(room="build", repositories=("acme/app",)))
    card = await caller.call(AddCard(room="build", title="Speed login up"))

    with pytest.raises(
        Refused, match="is not one of this room's repositories; did you mean 'acme/app'\\? allowed: acme/app"
    ):
        await ada.do(
            OpenIssue(room="build", about=(card.id,), repo="acme/secret"),
            tool=by("issue", about=[card.id], repo="acme/secret"),
            command=["github", "issue", "build", "--about", card.id, "--repo", "acme/secret"],
        )
    preview = await ada.do(
        PreviewOpening(room="build", about=(card.id,), body="Now."),
        tool=by("issue", about=[card.id], body="Now.", dry_run=True),
        command=["github", "issue", "build", "--about", card.id, "--body", "Now.", "--dry-run"],
    )
    assert (preview["title"], preview["repo"], github.made) == ("Speed login up", "acme/app", [])

    asked = await ada.do(
        OpenIssue(room="build", about=(card.id,), body="Now."),
        tool=by("issue", about=[card.id], body="Now."),
        command=["github", "issue", "build", "--about", card.id, "--body", "Now."],
    )
    issue = await settled(ada, asked["id"])
    assert (issue["state"], issue["url"]) == ("opened", "https://github.com/acme/app/issues/1")
    assert github.made[0]["body"].startswith(preview["body"])
    assert (await caller.call(GetCard(room="build", card=card.id))).links == (issue["url"],)
    with pytest.raises(Refused, match="asked for this issue already"):
        await ada.do(
            OpenIssue(room="build", about=(card.id,)),
            tool=by("issue", about=[card.id]),
            command=["github", "issue", "build", "--about", card.id],
        )

    second = await ada.do(
        OpenIssue(room="build", about=(card.id,), title="Speed logout up", again=True),
        tool=by("issue", about=[card.id], title="Speed logout up", again=True),
        command=["github", "issue", "build", "--about", card.id, "--title", "Speed logout up", "--again"],
    )
    assert (await settled(ada, second["id"]))["url"] == "https://github.com/acme/app/issues/2"

    github.faults = [Answer(403, {"message": "Resource not accessible by personal access token"})]
    with suppress(Refused):  # the command line ends with 1
        asked = await ada.do(
            OpenPull(room="build", head="login", about=(card.id,)),
            tool=by("pull", head="login", about=[card.id]),
            command=["github", "pull", "build", "login", "--about", card.id],
        )
        await settled(ada, asked["id"])
    failed = await newest(ada)
    assert (failed["state"], failed["kind"]) == ("failed", "pull")
    assert "its operator gives it write access to them (GitHub: Resource not accessible" in failed["reason"]
    await ada.do(
        RetryOpening(room="build", opening=failed["id"]),
        tool=by("retry", opening=failed["id"]),
        command=["github", "retry", "build", failed["id"]],
    )
    pull = await settled(ada, failed["id"])
    assert (pull["state"], pull["url"]) == ("opened", "https://github.com/acme/app/pull/3")
    assert (await newest(ada))["url"] == pull["url"]
    assert len(github.made) == 3


async def test_models_read_what_was_opened_and_hear_when_it_is_not_possible(tmp_path: Path, anyio_backend: str) -> None:
    async with (
        github_running() as github,
        stage_on(tmp_path, "mcp", github_token=TOKEN, github_api=github.address) as stage,
        AsyncExitStack() as stack,
    ):
        token = await register(stage.served, "ada")
        ada = await open_tools(stack, stage.served, await open_http(stack, stage.served, token))
        await ada.call_tool("join", {"room": "build"})
        refused = await ada.call_tool("github", {"action": "issue", "title": "x"})
        assert refused.is_error
        assert "mcp-bridge github allow" in getattr(refused.content[0], "text", "")
        async with HubClient(stage.served.url, stage.served.token) as local:
            await local.call(AllowGithub(room="build", repositories=("acme/app",)))
        made = await ada.call_tool("github", {"action": "issue", "title": "Login is slow"})
        assert made.structured_content is not None
        shown = (await ada.read_resource("room://build/github")).contents[0]
        [one] = json.loads(getattr(shown, "text", ""))["items"]
        assert (one["id"], one["url"]) == (made.structured_content["id"], github.made[0]["html_url"])
