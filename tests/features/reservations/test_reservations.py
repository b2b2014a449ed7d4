"""Who holds which paths, on a clock the test moves; in-process and over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from hub.core.caller import Caller
from hub.core.errors import DirectRoom, Forbidden, HubError
from hub.features.reservations.contract import (
    ListReservations,
    Override,
    Release,
    ReleaseAll,
    Renew,
    Reservation,
    Reserve,
)
from hub.features.reservations.globs import BadPattern
from hub.features.reservations.rules import ReservationConflict, ReservationNotFound, TooManyReserved
from hub.kernel.inbox.contract import ReadEvents, ReadInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, LeaveRoom, UpdateMember
from hub.server.timers import Clockwork
from tests.log.test_rebuild import same_after_rebuild
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio


async def two(hub: TestHub) -> tuple[Caller, Caller]:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    return ada, ben


async def hold(caller: Caller, *paths: str, **more: Any) -> Reservation:
    return await caller.call(Reserve(room="build", paths=paths, **more))


async def held(caller: Caller, **more: Any) -> list[tuple[str, ...]]:
    return [one.paths for one in (await caller.call(ListReservations(room="build", **more))).items]


async def tick(hub: TestHub) -> None:
    await hub.app.dispatch.service(Clockwork).run_due()


async def endings(caller: Caller) -> list[str]:
    events = (await caller.call(ReadEvents(room="build"))).items
    return [event["data"]["why"] for event in events if event["type"] == "reservation.released"]


async def test_a_conflict_names_the_holder_since_when_and_reserves_nothing(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    made = await hold(ada, "src/app/**", "docs/*.md", reason="new login")
    with pytest.raises(ReservationConflict) as refused:
        await hold(ben, "README.md", "src/app/login.py")
    told = refused.value
    assert f"src/app/login.py is held (as src/app/**) by ada, exclusive, since {made.since}" in told.detail
    assert "for: new login." in told.detail
    assert "offline" not in told.detail
    [clash] = told.extra["conflicts"]
    assert (clash["path"], clash["theirs"], clash["reservation"]["by"]) == ("src/app/login.py", "src/app/**", "ada")
    assert await held(ben) == [("src/app/**", "docs/*.md")], "README.md was not reserved either"
    surface_hub.clock.advance(301)
    with pytest.raises(ReservationConflict, match="ada is offline since 20"):
        await hold(ben, "docs/a.md")


async def test_shared_goes_with_shared_and_other_repositories_do_not_meet(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    await hold(ada, "src/**", mode="shared")
    await hold(ben, "src/a.py", mode="shared")
    with pytest.raises(ReservationConflict):
        await hold(ben, "src/b.py")
    await hold(ben, "src/b.py", repo="other")
    await hold(ada, "src/b.py")
    assert await held(ada, repo="other") == [("src/b.py",)]
    assert await held(ada, path="src/a.py") == [("src/**",), ("src/a.py",)]


async def test_asking_again_for_the_same_renews_it(surface_hub: TestHub) -> None:
    ada, _ben = await two(surface_hub)
    first = await hold(ada, "a", "b", ttl_s=60)
    again = await hold(ada, "b", "a", "a", ttl_s=600)
    assert again.id == first.id
    assert again.until > first.until
    assert len(await held(ada)) == 1


async def test_it_runs_out_unless_it_is_renewed(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    made = await hold(ada, "a", ttl_s=60)
    surface_hub.clock.advance(50)
    await ada.call(Renew(room="build", reservation=made.id, ttl_s=60))
    surface_hub.clock.advance(50)
    with pytest.raises(ReservationConflict):
        await hold(ben, "a")
    with pytest.raises(Forbidden, match="only its holder ada"):
        await ben.call(Renew(room="build", reservation=made.id))
    surface_hub.clock.advance(11)
    assert await held(ben) == [], "even before the clock has looked"
    with pytest.raises(ReservationNotFound, match="reserve again"):
        await ada.call(Renew(room="build", reservation=made.id))
    await hold(ben, "a")
    assert await endings(ben) == ["expired"]


async def test_the_clock_releases_what_ran_out(hub: TestHub) -> None:
    ada, _ben = await two(hub)
    for name in ("a", "b"):
        await hold(ada, name, ttl_s=30)
    await hold(ada, "c", ttl_s=300)
    hub.clock.advance(31)
    await tick(hub)
    assert await endings(ada) == ["expired", "expired"]
    assert await held(ada) == [("c",)]


async def test_it_ends_a_minute_after_the_holders_client_did_unless_it_is_back(hub: TestHub) -> None:
    ada, ben = await two(hub)
    agent = (await hub.app.authenticator.authenticate(hub.tokens["ada"])).agent
    presence = hub.app.dispatch.presence
    await hold(ada, "a", ttl_s=3600)
    presence.gone(agent)
    hub.clock.advance(30)
    with pytest.raises(ReservationConflict, match="ada is offline since"):
        await hold(ben, "a")
    await held(ada)  # a sign of life
    hub.clock.advance(59)
    await tick(hub)
    presence.gone(agent)
    hub.clock.advance(59)
    await tick(hub)
    assert await held(ben) == [("a",)]
    hub.clock.advance(6)
    await tick(hub)
    assert (await held(ben), await endings(ben)) == ([], ["exited"])


async def test_who_leaves_or_is_removed_holds_nothing(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    await hold(ben, "a")
    await ben.call(LeaveRoom(room="build"))
    await hold(ada, "a")
    await ben.call(JoinRoom(room="build"))
    await hold(ben, "b")
    await ada.call(UpdateMember(room="build", agent="ben", removed=True))
    assert await held(ada) == [("a",)]


async def test_a_holder_or_an_owner_releases(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    mine = await hold(ada, "a")
    with pytest.raises(Forbidden, match="belongs to ada"):
        await ben.call(Release(room="build", reservation=mine.id))
    theirs = await hold(ben, "b")
    await ada.call(Release(room="build", reservation=theirs.id))
    texts = [message.text for message in (await ben.call(ReadInbox())).messages]
    assert texts == [f"An owner of the room released your reservation {theirs.id}."]
    await hold(ada, "c")
    assert len((await ada.call(ReleaseAll(room="build"))).items) == 2
    assert await held(ada) == []
    with pytest.raises(ReservationNotFound, match="not held any more"):
        await ada.call(Release(room="build", reservation=mine.id))
    assert await surface_hub.app.store.write(same_after_rebuild) == []


async def test_an_override_is_recorded_and_told_to_the_holder(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    made = await hold(ada, "src/**")
    asked = Override(room="build", reservations=(made.id,), paths=("src/a.py",), reason="production is down")
    await ben.call(asked)
    last = (await ada.call(ReadInbox())).messages[-1]
    assert last.text == "Somebody changes what you hold (src/a.py): production is down"
    assert await held(ben) == [("src/**",)], "the reservation stays"
    event = (await ada.call(ReadEvents(room="build"))).items[-1]
    assert (event["type"], event["actor"], event["data"]["paths"]) == ("reservation.overridden", "ben", ["src/a.py"])


@pytest.mark.parametrize(
    "paths", [["../x"], ["/etc"], ["a", "b/../c"], ["src/"], ["**x"], ["[ab]"], ["a\\b"], [""], ["a" * 300]]
)
async def test_a_glob_trick_reserves_nothing(surface_hub: TestHub, paths: list[str]) -> None:
    ada, _ben = await two(surface_hub)
    with pytest.raises(BadPattern):
        await hold(ada, *paths)
    assert await held(ada) == []


async def test_bad_requests_are_refused_with_a_reason(surface_hub: TestHub) -> None:
    ada, ben = await two(surface_hub)
    for wrong in ({"ttl_s": 1}, {"ttl_s": 90_000}, {"mode": "all"}, {"repo": "../x"}, {"paths": ()}, {"nonsense": 1}):
        with pytest.raises((ValueError, HubError)):
            await ada.call(Reserve.model_validate({"room": "build", "paths": ("a",), **wrong}))
    for wrong_id in ("r1-1", "p1-1", "nonsense"):
        with pytest.raises(ReservationNotFound):
            await ada.call(Release(room="build", reservation=wrong_id))
    await ada.call(UpdateMember(room="build", agent="ben", access="reader"))
    with pytest.raises(Forbidden):
        await hold(ben, "a")
    mute = await surface_hub.agent("mute", scopes=("room:read", "room:send"))
    await mute.call(JoinRoom(room="build"))
    with pytest.raises(Forbidden, match="scope 'reserve'"):
        await hold(mute, "a")
    with pytest.raises(DirectRoom):
        await ada.call(Reserve(room="@1-2", paths=("a",)))


async def test_a_thousand_paths_each_and_no_more(hub: TestHub) -> None:
    ada, ben = await two(hub)
    for part in range(10):
        await hold(ada, *(f"pkg{part}/mod{number}/**" for number in range(100)))
    with pytest.raises(TooManyReserved, match="you hold 1000 paths here"):
        await hold(ada, "one/more")
    with pytest.raises(ReservationConflict, match="And 5 more"):
        await hold(ben, "**")
