"""A decision, told once and played through HTTP, client, MCP and command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.features.voting.contract import (
    AcceptAmendment,
    CastBallot,
    GetProposal,
    OpenProposal,
    ProposeAmendment,
    Rule,
    WithdrawProposal,
)
from tests.support.surfaces import SURFACES, Hand, Refused, Stage, stage_on

pytestmark = pytest.mark.anyio


@pytest.fixture(params=SURFACES)
async def stage(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Stage]:
    async with stage_on(tmp_path, request.param) as made:
        yield made


async def propose(hand: Hand, title: str, options: tuple[str, ...] | None, rule: Rule) -> Any:
    chosen = [word for option in options or () for word in ("--option", option)]
    return await hand.do(
        OpenProposal(room="build", title=title, options=options, rule=rule),
        tool=("propose", {"title": title, "options": options, "rule": rule.mode, "room": "build"}),
        command=["proposals", "open", "build", title, "--mode", rule.mode, *chosen],
    )


async def vote(hand: Hand, proposal: str, choice: str | tuple[str, ...], reason: str = "") -> Any:
    picks = [choice] if isinstance(choice, str) else list(choice)
    return await hand.do(
        CastBallot(room="build", proposal=proposal, choice=choice, reason=reason),
        tool=("vote", {"proposal": proposal, "choice": choice, "reason": reason, "room": "build"}),
        command=["proposals", "vote", "build", proposal, *picks, "--reason", reason],
    )


async def see(hand: Hand, proposal: str) -> Any:
    return await hand.do(
        GetProposal(room="build", proposal=proposal),
        tool=("vote", {"proposal": proposal, "action": "see", "room": "build"}),
        command=["proposals", "show", "build", proposal],
    )


async def withdraw(hand: Hand, proposal: str) -> Any:
    return await hand.do(
        WithdrawProposal(room="build", proposal=proposal),
        tool=("vote", {"proposal": proposal, "action": "withdraw", "room": "build"}),
        command=["proposals", "withdraw", "build", proposal],
    )


async def test_three_decide_by_ranked_choice(stage: Stage) -> None:
    ada, ben, cy = [await stage.person(name) for name in ("ada", "ben", "cy")]
    colours = ("red", "green", "blue")
    made = await propose(ada, "Which colour?", colours, Rule(mode="ranked"))
    assert made["missing"] == ["ada", "local", "ben", "cy"]
    await vote(ada, made["id"], ("blue", "red"))
    await vote(ada, made["id"], ("red", "green"), "changed my mind")
    with pytest.raises(Refused, match="'pink' is not an option; valid: red, green, blue, abstain"):
        await vote(ben, made["id"], "pink")
    await vote(ben, made["id"], ("green", "red"))
    assert (await see(ben, made["id"]))["state"] == "open"
    await vote(cy, made["id"], ("green", "blue"))
    await vote(cy, made["id"], "abstain")
    await vote(cy, made["id"], ("red",))
    assert (await see(cy, made["id"]))["state"] == "open", "a fourth ballot can still make a tie"
    other = await propose(ben, "Another?", None, Rule(mode="consensus"))
    with pytest.raises(Refused, match="only its proposer can withdraw"):
        await withdraw(ada, other["id"])
    assert (await withdraw(ben, other["id"]))["state"] == "withdrawn"
    with pytest.raises(Refused, match="is closed: withdrawn"):
        await vote(ada, other["id"], "approve")
    ballots = [(b["agent"], b["choice"], b["reason"]) for b in (await see(ada, made["id"]))["ballots"]]
    assert ballots == [
        ("ada", ["red", "green"], "changed my mind"),
        ("ben", ["green", "red"], ""),
        ("cy", ["red"], ""),
    ]


async def test_a_majority_of_three_closes_it(stage: Stage) -> None:
    ada, ben, cy = [await stage.person(name) for name in ("ada", "ben", "cy")]
    made = await propose(ada, "Ship today?", None, Rule())
    for hand in (ada, ben, cy):
        last = await vote(hand, made["id"], "approve")
    assert (last["state"], last["outcome"]) == ("approved", "approve")
    assert last["arithmetic"]["votes"] == {"approve": 3, "reject": 0}
    with pytest.raises(Refused, match="is closed: approved; open a new proposal"):
        await vote(ada, made["id"], "reject")


async def test_an_amendment_is_taken_in_and_voids_the_ballots(stage: Stage) -> None:
    ada, ben = await stage.person("ada"), await stage.person("ben")
    made = await propose(ada, "Port 80?", None, Rule())
    await vote(ben, made["id"], "reject")
    amended = await ben.do(
        ProposeAmendment(room="build", proposal=made["id"], title="Port 7411?"),
        tool=("vote", {"proposal": made["id"], "action": "amend", "text": "Port 7411?", "room": "build"}),
        command=["proposals", "amend", "build", made["id"], "--title", "Port 7411?"],
    )
    amendment = amended["amendments"][0]["amendment"]

    async def accept(hand: Hand) -> Any:
        return await hand.do(
            AcceptAmendment(room="build", proposal=made["id"], amendment=amendment),
            tool=("vote", {"proposal": made["id"], "action": "accept", "amendment": amendment, "room": "build"}),
            command=["proposals", "accept", "build", made["id"], amendment],
        )

    with pytest.raises(Refused, match="only its proposer can accept amendments"):
        await accept(ben)
    taken = await accept(ada)
    assert (taken["title"], taken.get("ballots", [])) == ("Port 7411?", [])
