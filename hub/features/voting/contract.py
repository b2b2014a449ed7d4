"""Proposals and ballots: operations, results, events."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from hub.core.event import Decided, EventBody
from hub.core.model import Model
from hub.core.names import AgentName, RoomName, make_id
from hub.core.operation import AnyOperation, Operation, Request, Result

Mode = Literal["majority", "supermajority", "consensus", "plurality", "ranked"]
State = Literal["open", "approved", "rejected", "decided", "no_quorum", "tied", "vetoed", "withdrawn"]
Option = Annotated[str, Field(min_length=1, max_length=80)]
ProposalId = Annotated[str, Field(min_length=3, max_length=40)]
Choice = Option | Annotated[tuple[Option, ...], Field(min_length=1, max_length=20)]
TWO_WAY: tuple[str, ...] = ("approve", "reject")
ABSTAIN = "abstain"
VETO = "veto"


class Rule(Model):
    """How a proposal is decided. `majority`: approve > reject among cast ballots, abstentions excluded."""

    mode: Mode = "majority"
    threshold: float = Field(
        default=2 / 3, gt=0.5, le=1, description="supermajority: approve ≥ threshold of approve + reject"
    )
    quorum: float = Field(default=0, ge=0, le=1, description="share of the electorate's weight that must cast anything")
    weighted: bool = Field(default=False, description="count the room's weights instead of one each")
    veto: tuple[AgentName, ...] = Field(default=(), max_length=20, description="who may cast 'veto'; fixed at opening")


class Ballot(Model):
    agent: str
    choice: str | tuple[str, ...]
    weight: int
    reason: str = ""
    at: str


class Amendment(Model):
    amendment: str
    by: str
    title: str | None = None
    body: str | None = None
    options: tuple[str, ...] | None = None
    accepted: bool = False


class Proposal(Result):
    """A proposal with its ballots so far and, when closed, the outcome and its arithmetic."""

    id: str
    room: str
    title: str
    body: str = ""
    options: tuple[str, ...]
    rule: Rule
    by: str
    state: State
    opened_at: str
    deadline: str | None = None
    closed_at: str | None = None
    outcome: str | None = Field(default=None, description="The winning option.")
    arithmetic: dict[str, Any] = Field(default_factory=dict, description="How the outcome follows from the ballots.")
    ballots: tuple[Ballot, ...] = ()
    missing: tuple[str, ...] = Field(default=(), description="Eligible agents without a ballot.")
    amendments: tuple[Amendment, ...] = ()


class Proposals(Result):
    items: tuple[Proposal, ...]
    cursor: str = ""
    has_more: bool = False


class OpenProposal(Request[Proposal]):
    """Open a decision. Without options it is approve or reject; abstain is always possible."""

    room: RoomName
    title: str = Field(min_length=1, max_length=300)
    body: str = Field(default="", max_length=20_000)
    options: tuple[Option, ...] | None = Field(default=None, min_length=2, max_length=20)
    rule: Rule = Rule()
    deadline_s: int | None = Field(default=None, ge=5, le=90 * 86400)

    @model_validator(mode="after")
    def _fits(self) -> OpenProposal:
        two_way = self.rule.mode in ("majority", "supermajority", "consensus")
        if two_way and self.options is not None and set(self.options) != set(TWO_WAY):
            raise ValueError(
                f"{self.rule.mode} decides between approve and reject; use plurality or ranked for options"
            )
        if not two_way and self.options is None:
            raise ValueError(f"{self.rule.mode} needs options")
        names = [option.casefold() for option in self.options or ()]
        if len(set(names)) != len(names) or {ABSTAIN, VETO} & set(names):
            raise ValueError("options must differ, and 'abstain' and 'veto' are taken")
        return self


class ListProposals(Request[Proposals]):
    """Proposals of a room, newest first; `open=true` only those still open."""

    room: RoomName
    open: bool = False
    limit: int = Field(default=20, ge=1, le=100)


class GetProposal(Request[Proposal]):
    """One proposal with its tally."""

    room: RoomName
    proposal: ProposalId


class CastBallot(Request[Proposal]):
    """Vote on a proposal; voting again replaces your earlier ballot. A ranked proposal takes a list, best first."""

    room: RoomName
    proposal: ProposalId
    choice: Choice
    reason: str = Field(default="", max_length=2000)


class CloseProposal(Request[Proposal]):
    """Close a proposal now and count; its proposer or an owner."""

    room: RoomName
    proposal: ProposalId


class WithdrawProposal(Request[Proposal]):
    """Take back your own open proposal."""

    room: RoomName
    proposal: ProposalId


class ProposeAmendment(Request[Proposal]):
    """Suggest another wording or other options; its proposer decides."""

    room: RoomName
    proposal: ProposalId
    title: str | None = Field(default=None, min_length=1, max_length=300)
    body: str | None = Field(default=None, max_length=20_000)
    options: tuple[Option, ...] | None = Field(default=None, min_length=2, max_length=20)


class AcceptAmendment(Request[Proposal]):
    """Take an amendment into your proposal; every ballot cast so far is void."""

    room: RoomName
    proposal: ProposalId
    amendment: ProposalId


_P = "/v1/rooms/{room}/proposals"
_ONE = _P + "/{proposal}"
OPEN = Operation("proposals.open", f"POST {_P}", "vote", OpenProposal, Proposal, 201)
LIST = Operation("proposals.list", f"GET {_P}", "room:read", ListProposals, Proposals)
GET = Operation("proposals.get", f"GET {_ONE}", "room:read", GetProposal, Proposal)
VOTE = Operation("proposals.vote", f"PUT {_ONE}/ballot", "vote", CastBallot, Proposal)
CLOSE = Operation("proposals.close", f"POST {_ONE}/close", "vote", CloseProposal, Proposal)
WITHDRAW = Operation("proposals.withdraw", f"POST {_ONE}/withdraw", "vote", WithdrawProposal, Proposal)
AMEND = Operation("amendments.propose", f"POST {_ONE}/amendments", "vote", ProposeAmendment, Proposal, 201)
ACCEPT = Operation(
    "amendments.accept", f"PUT {_ONE}/amendments/{{amendment}}/accepted", "vote", AcceptAmendment, Proposal
)
OPERATIONS: list[AnyOperation] = [OPEN, LIST, GET, VOTE, CLOSE, WITHDRAW, AMEND, ACCEPT]


class Voter(Model):
    agent: int
    name: str
    weight: int
    veto: bool = False


class ProposalOpened(EventBody):
    """The electorate, its weights and veto holders are fixed here."""

    type: ClassVar[str] = "proposal.opened"
    title: str
    body: str = ""
    options: tuple[str, ...]
    rule: Rule
    electorate: tuple[Voter, ...]
    deadline_ms: int | None = None

    def concerns(self) -> tuple[int, ...]:
        return tuple(voter.agent for voter in self.electorate)

    def subject(self, log: int, seq: int) -> str:
        return make_id("p", log, seq)

    def notice(self) -> str:
        return f"Vote wanted: {self.title} ({', '.join(self.options)})"


class BallotCast(EventBody):
    type: ClassVar[str] = "ballot.cast"
    proposal: str
    agent: int
    choice: str | tuple[str, ...]
    reason: str = ""


class AmendmentProposed(EventBody):
    type: ClassVar[str] = "amendment.proposed"
    proposal: str
    proposer: int
    title: str | None = None
    body: str | None = None
    options: tuple[str, ...] | None = None

    def concerns(self) -> tuple[int, ...]:
        return (self.proposer,)

    def subject(self, log: int, seq: int) -> str:
        return self.proposal

    def notice(self) -> str:
        return f"Somebody suggests an amendment to {self.proposal}."


class AmendmentAccepted(EventBody):
    """Carries what the proposal now says; ballots are void."""

    type: ClassVar[str] = "amendment.accepted"
    proposal: str
    amendment: str
    title: str
    body: str
    options: tuple[str, ...]
    voters: tuple[int, ...] = ()

    def concerns(self) -> tuple[int, ...]:
        return self.voters

    def subject(self, log: int, seq: int) -> str:
        return self.proposal

    def notice(self) -> str:
        return f"{self.proposal} was amended; ballots are void, vote again: {self.title}"


class ProposalClosed(EventBody):
    """The outcome and the arithmetic that gives it."""

    type: ClassVar[str] = "proposal.closed"
    proposal: str
    state: State
    outcome: str | None = None
    arithmetic: dict[str, Any] = Field(default_factory=dict)
    title: str = ""
    voters: tuple[int, ...] = ()
    cast_by: tuple[int, ...] = ()
    links: tuple[str, ...] = Field(default=(), description="Ids of messages and other things its text names.")

    def concerns(self) -> tuple[int, ...]:
        return self.voters

    def subject(self, log: int, seq: int) -> str:
        return self.proposal

    def notice(self) -> str:
        won = f": {self.outcome}" if self.outcome else ""
        return f"{self.title}: {self.state}{won}"

    def decides(self) -> Decided | None:
        if self.state not in ("approved", "rejected", "decided", "vetoed"):
            return None
        outcome = self.outcome if self.state == "decided" and self.outcome else self.state
        return Decided(self.title, outcome, self.cast_by, self.proposal, self.links)
