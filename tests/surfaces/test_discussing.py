"""A question, a discussed proposal and the register, told once and played through HTTP, client, MCP and command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.features.discussion.contract import AddArgument, AddCritique, ListDecisions, OfferAlternative, RecordDecision
from hub.features.messages.contract import AcceptAnswer, PostMessage
from hub.features.voting.contract import OpenProposal
from tests.support.surfaces import SURFACES, Hand, Refused, Stage, stage_on

pytestmark = pytest.mark.anyio


@pytest.fixture(params=SURFACES)
async def stage(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Stage]:
    async with stage_on(tmp_path, request.param) as made:
        yield made


def by(tool_action: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "vote", {"action": tool_action, "room": "build", **more}


async def test_a_proposal_is_discussed_and_a_decision_recorded(stage: Stage) -> None:
    ada, ben = await stage.person("ada"), await stage.person("ben")
    made = await ada.do(
        OpenProposal(room="build", title="Port 80?"),
        tool=("propose", {"title": "Port 80?", "room": "build"}),
        command=["proposals", "open", "build", "Port 80?"],
    )
    on = made["id"]
    argument = await ben.do(
        AddArgument(room="build", on=on, side="con", text="needs root"),
        tool=by("argue", proposal=on, choice="con", text="needs root"),
        command=["discuss", "argue", "build", on, "con", "needs root"],
    )
    assert (argument["on"], argument["side"], argument["by"]) == (on, "con", "ben")
    critique = await ben.do(
        AddCritique(room="build", on=on, severity="blocking", text="clashes"),
        tool=by("critique", proposal=on, choice="blocking", text="clashes"),
        command=["discuss", "critique", "build", on, "clashes", "--severity", "blocking"],
    )
    assert critique["severity"] == "blocking"
    await ada.do(
        OfferAlternative(room="build", on=on, text="7411"),
        tool=by("suggest", proposal=on, text="7411"),
        command=["discuss", "suggest", "build", on, "7411"],
    )
    with pytest.raises(Refused, match="pass the id of a proposal"):
        await ada.do(
            OfferAlternative(room="build", on="p9-9", text="x"),
            tool=by("suggest", proposal="p9-9", text="x"),
            command=["discuss", "suggest", "build", "p9-9", "x"],
        )
    recorded = await ada.do(
        RecordDecision(room="build", what="Port 7411.", links=(on,)),
        tool=by("record", text="Port 7411.", proposal=on),
        command=["decisions", "record", "build", "Port 7411.", "--link", on],
    )
    register = await ben.do(ListDecisions(room="build"), tool=by("decisions"), command=["decisions", "list", "build"])
    [line] = register.get("decisions") or register["items"]
    assert (line["id"], line["what"], line["by"], line["links"]) == (recorded["id"], "Port 7411.", ["ada"], [on])


async def test_only_the_asker_accepts_an_answer(stage: Stage) -> None:
    ada, ben = await stage.person("ada"), await stage.person("ben")

    async def say(hand: Hand, text: str, kind: Any, reply_to: str | None = None) -> str:
        direct = stage.caller[id(hand)]  # how messages are sent has its own tests
        return (await direct.call(PostMessage(room="build", text=text, kind=kind, reply_to=reply_to))).id

    question = await say(ada, "Which port?", "question")
    answer = await say(ben, "7411", "answer", question)

    async def accept(hand: Hand) -> None:
        await hand.do(
            AcceptAnswer(room="build", question=question, answer=answer),
            tool=by("accept", amendment=answer),
            command=["discuss", "accept", answer],
        )

    with pytest.raises(Refused, match="only the asker can accept"):
        await accept(ben)
    await accept(ada)
