"""propose and vote: deciding together."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hub.core.errors import Invalid
from hub.core.visible import visible
from hub.features.voting.contract import (
    AcceptAmendment,
    CastBallot,
    CloseProposal,
    GetProposal,
    ListProposals,
    OpenProposal,
    Proposal,
    ProposeAmendment,
    WithdrawProposal,
)
from hub.kernel.rooms.contract import Room
from mcp_bridge.briefing import cut
from mcp_bridge.desk import Desk
from mcp_bridge.toolbox import Answer, Args, RoomArg, tool
from mcp_bridge.tools.discussing import DISCUSSED, discuss, remarks_on
from mcp_bridge.tools.rooms import BRIEFERS


class ProposeArgs(Args):
    title: str
    room: RoomArg = None
    body: str = ""
    options: list[str] | None = Field(None, description="default: approve, reject")
    rule: Literal["majority", "supermajority", "consensus", "plurality", "ranked"] | None = None
    quorum: float = 0
    threshold: float | None = Field(None, description="supermajority")
    weighted: bool = False
    veto: list[str] = Field([], description="agents who may veto")
    deadline_s: int | None = None


@tool("Open a decision", {"id": "string", "state": "string", "missing": "array"})
async def propose(desk: Desk, args: ProposeArgs) -> Answer:
    """Open a decision for everyone in the room. With options the rule is plurality unless you say ranked; it closes by
    itself once the outcome is certain, or at the deadline."""
    rule: dict[str, Any] = {"quorum": args.quorum, "weighted": args.weighted, "veto": args.veto}
    rule["mode"] = args.rule or ("plurality" if args.options else "majority")
    if args.threshold is not None:
        rule["threshold"] = args.threshold
    request = OpenProposal.model_validate(
        {
            "room": await desk.room(args.room),
            "title": args.title,
            "body": args.body,
            "options": args.options,
            "rule": rule,
            "deadline_s": args.deadline_s,
        }
    )
    return _answer(await desk.call(request))


class VoteArgs(Args):
    proposal: str | None = Field(None, description="id; none: the open ones")
    choice: str | list[str] | None = Field(
        None, description="an option, abstain, veto; ranked: a list; argue: pro, con; critique: minor, major, blocking"
    )
    reason: str = ""
    action: Literal[
        "cast", "see", "close", "withdraw", "amend", "accept", "argue", "critique", "suggest", "resolve", "decisions",
        "record",
    ] = "cast"  # fmt: skip
    room: RoomArg = None
    text: str | None = Field(None, description="of amend, argue, critique, suggest, record")
    amendment: str | None = Field(None, description="or answer to accept, or critique to resolve")


@tool("Vote", {"proposals": "array", "id": "string", "state": "string", "outcome": "string"})
async def vote(desk: Desk, args: VoteArgs) -> Answer:
    """Cast or change a ballot, see a tally or the open proposals; discuss one; accept an answer to your question; read
    and record decisions."""
    room = await desk.room(args.room)
    if args.action in DISCUSSED or (args.amendment or "").startswith("m"):
        return await discuss(desk, args, room)
    if args.proposal is None:
        found = (await desk.call(ListProposals(room=room, open=True))).items
        shown = [brief_proposal(p) for p in found]
        return Answer({"proposals": shown}, "\n".join(map(_line, found)) or "nothing is open", peer_text=bool(found))
    answer = _answer(await desk.call(_request(args, room, args.proposal)))
    if args.action != "see":
        return answer
    return Answer(answer.data | await remarks_on(desk, room, args.proposal), answer.text, answer.peer_text)


def _request(args: VoteArgs, room: str, proposal: str) -> Any:
    one = {"room": room, "proposal": proposal}
    if args.action == "cast" and args.choice is not None:
        return CastBallot.model_validate({**one, "choice": args.choice, "reason": args.reason})
    if args.action == "amend":
        return ProposeAmendment.model_validate({**one, "title": args.text})
    if args.action == "accept":
        if args.amendment is None:
            raise Invalid("name the amendment to accept; the proposal lists them")
        return AcceptAmendment.model_validate({**one, "amendment": args.amendment})
    kinds = {"close": CloseProposal, "withdraw": WithdrawProposal}
    return kinds.get(args.action, GetProposal).model_validate(one)


def brief_proposal(proposal: Proposal) -> dict[str, Any]:
    """A proposal for a model."""
    made: dict[str, Any] = {
        "id": proposal.id,
        "title": proposal.title,
        "options": list(proposal.options),
        "rule": proposal.rule.mode,
        "state": proposal.state,
        "by": proposal.by,
    }
    optional = {
        "body": proposal.body[:2000],
        "outcome": proposal.outcome,
        "deadline": proposal.deadline,
        "arithmetic": proposal.arithmetic,
        "missing": list(proposal.missing),
        "ballots": [{"agent": b.agent, "choice": b.choice, "reason": b.reason[:300]} for b in proposal.ballots],
        "amendments": [a.model_dump(exclude_none=True) for a in proposal.amendments],
    }
    return made | {name: value for name, value in optional.items() if value}


def _answer(proposal: Proposal) -> Answer:
    return Answer({**brief_proposal(proposal), "room": proposal.room}, _line(proposal), peer_text=True)


def _line(proposal: Proposal) -> str:
    outcome = f" → {proposal.outcome}" if proposal.outcome else ""
    ballots = ", ".join(f"{b.agent}: {b.choice}" for b in proposal.ballots)
    missing = f"; missing: {', '.join(proposal.missing)}" if proposal.state == "open" and proposal.missing else ""
    return f"[{proposal.id}] {visible(proposal.title)} ({', '.join(proposal.options)}): {proposal.state}{outcome}. {ballots}{missing}"


async def _brief(desk: Desk, room: Room) -> dict[str, Any]:
    """Open proposals, for the briefing of `join`."""
    found = (await desk.call(ListProposals(room=room.room, open=True, limit=5))).items
    return {"proposals": [_open(p) for p in found]}


def _open(proposal: Proposal) -> dict[str, Any]:
    """An open proposal in a few bytes; `vote` shows the rest."""
    options = [cut(visible(option), 30) for option in proposal.options[:4]]
    return {"id": proposal.id, "title": cut(visible(proposal.title), 120), "options": options}


BRIEFERS.append(_brief)
