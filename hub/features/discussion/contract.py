"""Remarks on proposals and messages, and the register of decisions: operations, results, events."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hub.core.event import Decided, EventBody
from hub.core.names import RoomName, make_id
from hub.core.operation import AnyOperation, Operation, Request, Result

Severity = Literal["note", "minor", "major", "blocking"]
Side = Literal["pro", "con"]
Kind = Literal["critique", "alternative", "argument"]
ThingId = Annotated[str, Field(pattern=r"^[a-z][0-9a-z]{1,12}-[0-9a-z]{1,12}$")]
Words = Annotated[str, Field(min_length=1, max_length=10_000)]
_LIMIT = Field(default=50, ge=1, le=200)


class Remark(Result):
    """What somebody thinks of a proposal, a message or another remark."""

    id: str
    room: str
    on: str
    kind: Kind
    by: str
    text: str
    severity: Severity | None = None
    alternatives: tuple[str, ...] = ()
    side: Side | None = None
    resolved: bool = False
    at: str


class Remarks(Result):
    items: tuple[Remark, ...]
    has_more: bool = False


class AddCritique(Request[Remark]):
    """Say what is wrong with a proposal, message or remark, how bad it is, and what else could be done."""

    room: RoomName
    on: ThingId
    severity: Severity = "minor"
    text: Words
    alternatives: tuple[Words, ...] = Field(default=(), max_length=10)


class ListCritiques(Request[Remarks]):
    """Critiques in a room or on one thing, newest first; `open=true` only those not resolved."""

    room: RoomName
    on: ThingId | None = None
    open: bool = False
    limit: int = _LIMIT


class ResolveCritique(Request[Remark]):
    """Say that a critique is answered: its critic, or an owner of the room."""

    room: RoomName
    critique: ThingId


class OfferAlternative(Request[Remark]):
    """Say what else could be done instead of a proposal."""

    room: RoomName
    on: ThingId
    text: Words


class ListAlternatives(Request[Remarks]):
    """Alternatives in a room or to one thing, newest first."""

    room: RoomName
    on: ThingId | None = None
    limit: int = _LIMIT


class AddArgument(Request[Remark]):
    """Argue for or against a proposal, message or remark."""

    room: RoomName
    on: ThingId
    side: Side
    text: Words


class ListArguments(Request[Remarks]):
    """Arguments in a room or on one thing, newest first."""

    room: RoomName
    on: ThingId | None = None
    side: Side | None = None
    limit: int = _LIMIT


class Decision(Result):
    """What was decided, when, by whom, and what it refers to."""

    id: str
    room: str
    what: str
    outcome: str = Field(description="approved, rejected, vetoed, the winning option, or 'recorded'.")
    by: tuple[str, ...] = Field(description="Who voted, or who recorded it.")
    at: str
    about: str | None = Field(default=None, description="The proposal, when it was a vote.")
    links: tuple[str, ...] = Field(
        default=(), description="Messages, files, cards, proposals and addresses that belong to it."
    )
    superseded_by: str | None = None


class Decisions(Result):
    items: tuple[Decision, ...]
    has_more: bool = False


class RecordDecision(Request[Decision]):
    """Write down what was decided without a vote; `supersedes` names the decision that no longer holds."""

    room: RoomName
    what: str = Field(min_length=1, max_length=2000)
    links: tuple[ThingId, ...] = Field(default=(), max_length=20)
    supersedes: ThingId | None = None


class ListDecisions(Request[Decisions]):
    """The register of decisions, newest first: every vote that ended with an outcome, and what was recorded."""

    room: RoomName
    before: ThingId | None = Field(default=None, description="Only decisions before this one.")
    current: bool = Field(default=False, description="Only those that nothing supersedes.")
    limit: int = _LIMIT


class ExportDecisions(Request["Exported"]):
    """The whole register as one document, oldest first."""

    room: RoomName
    format: Literal["markdown", "json"] = "markdown"


class Exported(Result):
    """A document. JSON is a list of decisions with the remarks on each."""

    format: Literal["markdown", "json"]
    text: str
    count: int


_R = "/v1/rooms/{room}"
CRITIQUE = Operation("critiques.add", f"POST {_R}/critiques", "room:send", AddCritique, Remark, 201)
CRITIQUES = Operation("critiques.list", f"GET {_R}/critiques", "room:read", ListCritiques, Remarks)
RESOLVE = Operation(
    "critiques.resolve", f"PUT {_R}/critiques/{{critique}}/resolved", "room:send", ResolveCritique, Remark
)
OFFER = Operation("alternatives.add", f"POST {_R}/alternatives", "room:send", OfferAlternative, Remark, 201)
ALTERNATIVES = Operation("alternatives.list", f"GET {_R}/alternatives", "room:read", ListAlternatives, Remarks)
ARGUE = Operation("arguments.add", f"POST {_R}/arguments", "room:send", AddArgument, Remark, 201)
ARGUMENTS = Operation("arguments.list", f"GET {_R}/arguments", "room:read", ListArguments, Remarks)
RECORD = Operation("decisions.record", f"POST {_R}/decisions", "room:send", RecordDecision, Decision, 201)
DECISIONS = Operation("decisions.list", f"GET {_R}/decisions", "room:read", ListDecisions, Decisions)
EXPORT = Operation("decisions.export", f"GET {_R}/decisions/export", "room:read", ExportDecisions, Exported)
OPERATIONS: list[AnyOperation] = [
    CRITIQUE,
    CRITIQUES,
    RESOLVE,
    OFFER,
    ALTERNATIVES,
    ARGUE,
    ARGUMENTS,
    RECORD,
    DECISIONS,
    EXPORT,
]


class _OnSomething(EventBody):
    """A remark; who made the thing it is on gets a notice."""

    on: str
    author: int
    text: str

    def concerns(self) -> tuple[int, ...]:
        return (self.author,)

    def subject(self, log: int, seq: int) -> str:
        return self.on


class CritiqueMade(_OnSomething):
    type: ClassVar[str] = "critique.made"
    severity: Severity
    alternatives: tuple[str, ...] = ()

    def notice(self) -> str:
        return f"Critique of {self.on} ({self.severity}): {self.text[:500]}"


class AlternativeOffered(_OnSomething):
    type: ClassVar[str] = "alternative.offered"

    def notice(self) -> str:
        return f"Alternative to {self.on}: {self.text[:500]}"


class ArgumentMade(_OnSomething):
    type: ClassVar[str] = "argument.made"
    side: Side

    def notice(self) -> str:
        return f"Argument {'for' if self.side == 'pro' else 'against'} {self.on}: {self.text[:500]}"


class CritiqueResolved(EventBody):
    type: ClassVar[str] = "critique.resolved"
    critique: str


class DecisionRecorded(EventBody):
    type: ClassVar[str] = "decision.recorded"
    what: str
    links: tuple[str, ...] = ()
    supersedes: str | None = None
    members: tuple[int, ...] = ()

    def concerns(self) -> tuple[int, ...]:
        return self.members

    def subject(self, log: int, seq: int) -> str:
        return make_id("d", log, seq)

    def notice(self) -> str:
        return f"Decision recorded: {self.what[:500]}"

    def decides(self) -> Decided | None:
        return Decided(what=self.what, outcome="recorded", links=self.links)
