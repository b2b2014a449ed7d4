"""Two hubs over one database send to the same GitHub: each thing once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.client import LocalCaller
from hub.features.github.contract import AllowGithub, GetOpening, OpenIssue
from hub.features.github.worker import GithubWorker
from hub.kernel.rooms.contract import CreateRoom
from hub.storage.postgres import PostgresStore
from tests.storage.test_conformance import fresh_database
from tests.support.github import TOKEN, github_running
from tests.support.hubs import running_hub
from tests.support.postgres import postgres_server

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


async def test_two_hubs_send_everything_once(tmp_path: Path, server: str) -> None:
    url = await fresh_database(server)
    async with github_running() as github:
        settings: dict[str, Any] = {"github_token": TOKEN, "github_api": github.address}
        async with (
            running_hub(tmp_path / "a", store=PostgresStore(url), **settings) as one,
            running_hub(tmp_path / "b", store=PostgresStore(url), **settings) as two,
        ):
            for hub in (one, two):
                hub.app.service(GithubWorker).pause_s = 0
            local = await one.local()
            await local.call(CreateRoom(room="build"))
            await local.call(AllowGithub(room="build", repositories=("acme/app",)))
            other = LocalCaller(two.app.dispatch, await two.app.authenticator.authenticate(one.local_token))
            callers = [local, other] * 10
            wishes = [OpenIssue(room="build", title=f"Number {n}") for n in range(20)]
            asked = await asyncio.gather(*(c.call(w) for c, w in zip(callers, wishes, strict=True)))
            ends = [
                await caller.call(GetOpening(room="build", opening=opening.id, wait_s=55))
                for caller, opening in zip(callers, asked, strict=True)
            ]
        assert {end.state for end in ends} == {"opened"}
        assert sorted(thing["title"] for thing in github.made) == sorted(wish.title or "" for wish in wishes)
        assert github.mutations() == 20
