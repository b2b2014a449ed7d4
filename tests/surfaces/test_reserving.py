"""Two agents and the same files, told once and played through HTTP, client, MCP and command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.features.reservations.contract import ListReservations, Release, Renew, Reserve
from tests.support.surfaces import SURFACES, Hand, Refused, Stage, stage_on

pytestmark = pytest.mark.anyio


@pytest.fixture(params=SURFACES)
async def stage(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Stage]:
    async with stage_on(tmp_path, request.param) as made:
        yield made


async def hold(hand: Hand, *paths: str, reason: str = "", shared: bool = False) -> Any:
    mode = "shared" if shared else "exclusive"
    return await hand.do(
        Reserve.model_validate({"room": "build", "paths": paths, "mode": mode, "reason": reason}),
        tool=("reserve", {"paths": paths, "mode": mode, "reason": reason, "room": "build"}),
        command=[
            *["reservations", "make", "build", *paths, "--reason", reason],
            *(["--shared"] if shared else []),
        ],
    )


async def held(hand: Hand) -> list[tuple[str, list[str]]]:
    page = await hand.do(
        ListReservations(room="build"),
        tool=("reserve", {"action": "list", "room": "build"}),
        command=["reservations", "list", "build"],
    )
    return [(one["by"], one["paths"]) for one in page.get("reservations", page.get("items", []))]


async def release(hand: Hand, reservation: str) -> None:
    await hand.do(
        Release(room="build", reservation=reservation),
        tool=("reserve", {"action": "release", "reservation": reservation, "room": "build"}),
        command=["reservations", "release", "build", reservation],
    )


async def test_the_second_to_ask_is_told_who_holds_it_and_gets_it_when_it_is_free(stage: Stage) -> None:
    ada, ben = await stage.person("ada"), await stage.person("ben")
    made = await hold(ada, "src/**", reason="new login")
    with pytest.raises(Refused, match=r"src/a\.py is held \(as src/\*\*\) by ada, exclusive, since .* for: new login"):
        await hold(ben, "src/a.py")
    with pytest.raises(Refused, match="absolute"):
        await hold(ben, "/etc/passwd")
    assert await held(ben) == [("ada", ["src/**"])]
    await ada.do(
        Renew(room="build", reservation=made["id"], ttl_s=60),
        tool=("reserve", {"action": "renew", "reservation": made["id"], "ttl_s": 60, "room": "build"}),
        command=["reservations", "renew", "build", made["id"], "--ttl-s", "60"],
    )
    with pytest.raises(Refused, match="belongs to ada"):
        await release(ben, made["id"])
    await release(ada, made["id"])
    await hold(ben, "src/a.py", shared=True)
    await hold(ada, "src/*.py", shared=True)
    assert await held(ada) == [("ben", ["src/a.py"]), ("ada", ["src/*.py"])]
    with pytest.raises(Refused, match="not held any more"):
        await release(ada, made["id"])
