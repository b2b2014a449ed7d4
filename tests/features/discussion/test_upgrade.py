"""A hub that had votes before it kept a register of decisions."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from hub.features.discussion.contract import ListDecisions
from hub.features.voting.contract import CastBallot, OpenProposal
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateMember
from hub.server.timers import Clockwork
from tests.log.test_rebuild import same_after_rebuild
from tests.support.hubs import TestHub, running_hub

pytestmark = pytest.mark.anyio


async def _decide(hub: TestHub, votes: int) -> None:
    ada, ben = await hub.agent("ada", "code"), await hub.agent("ben", "code")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    await (await hub.local()).call(UpdateMember(room="build", agent="local", access="reader"))
    for number in range(votes):
        made = await ada.call(OpenProposal(room="build", title=f"Step {number}?"))
        for caller in (ben, ada):
            await caller.call(CastBallot(room="build", proposal=made.id, choice="approve"))


def _as_before_the_register(home: Path) -> None:
    """The database as the version without a register left it: its events did not name the voters either."""
    [file] = [f for f in home.glob("*.db") if f.name != "search.db"]
    with sqlite3.connect(file) as db:
        db.execute("delete from decision")
        db.execute("drop table register_due")
        db.execute("delete from migration where name = 'discussion-0002'")
        for log, seq, data in db.execute("select log, seq, data from event where type = 'proposal.closed'").fetchall():
            body = {k: v for k, v in json.loads(data).items() if k not in ("cast_by", "links")}
            db.execute("update event set data = ? where log = ? and seq = ?", (json.dumps(body).encode(), log, seq))
    db.close()


async def test_votes_from_before_the_register_get_their_lines_by_themselves(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        await _decide(hub, votes=130)
    _as_before_the_register(tmp_path)
    async with running_hub(tmp_path) as hub:
        local = await hub.local()
        await hub.app.service(Clockwork).run_due()
        found = (await local.call(ListDecisions(room="build", limit=200))).items
        assert [one.what for one in found] == [f"Step {number}?" for number in reversed(range(130))]
        assert {(one.outcome, one.by) for one in found} == {("approved", ("ben", "ada"))}
        assert await hub.app.store.write(same_after_rebuild) == []
        hub.clock.advance(5)
        await hub.app.service(Clockwork).run_due()
        assert len((await local.call(ListDecisions(room="build", limit=200))).items) == 130, "written once"
