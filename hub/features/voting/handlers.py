"""One function per operation: load, decide, append, return. The room's lock is held before anything is loaded."""

from __future__ import annotations

from hub.core.call import Call
from hub.core.errors import AgentNotFound, Forbidden, Invalid, listing
from hub.features.voting import rules
from hub.features.voting.contract import (
    ACCEPT,
    AMEND,
    CLOSE,
    GET,
    LIST,
    OPEN,
    TWO_WAY,
    VOTE,
    WITHDRAW,
    AcceptAmendment,
    AmendmentAccepted,
    AmendmentProposed,
    BallotCast,
    CastBallot,
    CloseProposal,
    GetProposal,
    ListProposals,
    OpenProposal,
    Proposal,
    ProposalClosed,
    ProposalOpened,
    Proposals,
    ProposeAmendment,
    Voter,
    WithdrawProposal,
)
from hub.features.voting.project import Loaded, load_proposal, proposal_seq, view
from hub.kernel.rooms.project import Entered, enter, enter_to_write, members_with
from hub.log.handler import handles
from hub.log.log import agent_name, append, read_event
from hub.storage.interface import Tx


@handles(OPEN)
def open_proposal(tx: Tx, call: Call, request: OpenProposal) -> Proposal:
    entered = enter_to_write(tx, call, request.room)
    event = ProposalOpened(
        title=request.title,
        body=request.body,
        options=request.options or TWO_WAY,
        rule=request.rule,
        electorate=_electorate(tx, call, entered, request),
        deadline_ms=None if request.deadline_s is None else call.now_ms + request.deadline_s * 1000,
    )
    return view(tx, entered.log, append(tx, call, entered.log, event).seq)


def _electorate(tx: Tx, call: Call, entered: Entered, request: OpenProposal) -> tuple[Voter, ...]:
    """Members who may write and have a token for voting, with the weights they have now."""
    members = [(agent_name(tx, m.agent), m) for m in members_with(tx, entered.log, "vote", call.now_ms)]
    names = [name for name, _ in members]
    if unknown := [name for name in request.rule.veto if name not in names]:
        raise AgentNotFound(f"veto holder {unknown[0]!r} cannot vote here; eligible: {listing(names)}")
    return tuple(Voter(agent=m.agent, name=n, weight=m.weight, veto=n in request.rule.veto) for n, m in members)


@handles(LIST)
def list_proposals(tx: Tx, call: Call, request: ListProposals) -> Proposals:
    log = enter(tx, call, request.room).log
    rows = tx.rows(
        "select seq from proposal where log = :log and (:open = 0 or state = 'open') order by seq desc limit :limit",
        log=log,
        open=int(request.open),
        limit=request.limit + 1,
    )
    items = tuple(view(tx, log, row[0]) for row in rows[: request.limit])
    return Proposals(items=items, has_more=len(rows) > request.limit)


@handles(GET)
def get_proposal(tx: Tx, call: Call, request: GetProposal) -> Proposal:
    log = enter(tx, call, request.room).log
    return view(tx, log, proposal_seq(log, request.proposal))


@handles(VOTE)
def cast_ballot(tx: Tx, call: Call, request: CastBallot) -> Proposal:
    loaded = _open(tx, call, request.room, request.proposal)
    rules.must_be_eligible(call.agent, loaded.names)
    choice = rules.check_choice(loaded.question, call.agent, request.choice)
    cast = BallotCast(proposal=loaded.id, agent=call.agent, choice=choice, reason=request.reason)
    append(tx, call, loaded.log, cast)
    ballots = {**loaded.ballots, call.agent: choice}
    if rules.certain(loaded.question, ballots):
        append(tx, call, loaded.log, verdict(loaded, ballots), actor=0)
    return view(tx, loaded.log, loaded.seq)


def verdict(loaded: Loaded, ballots: dict[int, rules.Choice]) -> ProposalClosed:
    """The closing event these ballots give."""
    found = rules.tally(loaded.question, ballots)
    return ProposalClosed(
        proposal=loaded.id,
        state=found.state,
        outcome=found.outcome,
        arithmetic=found.arithmetic,
        title=loaded.title,
        voters=loaded.voters,
        cast_by=tuple(ballots),
        links=rules.named(f"{loaded.title} {loaded.body}"),
    )


@handles(CLOSE)
def close_proposal(tx: Tx, call: Call, request: CloseProposal) -> Proposal:
    loaded = _open(tx, call, request.room, request.proposal)
    if call.agent != loaded.proposer and enter(tx, call, request.room).member.access != "owner":
        raise Forbidden(
            "only its proposer or an owner of the room can close a proposal early; it also closes by its rule"
        )
    append(tx, call, loaded.log, verdict(loaded, loaded.ballots))
    return view(tx, loaded.log, loaded.seq)


@handles(WITHDRAW)
def withdraw_proposal(tx: Tx, call: Call, request: WithdrawProposal) -> Proposal:
    loaded = _own(tx, call, request.room, request.proposal, "withdraw")
    event = ProposalClosed(proposal=loaded.id, state="withdrawn", title=loaded.title, voters=loaded.voters)
    append(tx, call, loaded.log, event)
    return view(tx, loaded.log, loaded.seq)


@handles(AMEND)
def propose_amendment(tx: Tx, call: Call, request: ProposeAmendment) -> Proposal:
    loaded = _open(tx, call, request.room, request.proposal)
    if request.title is None and request.body is None and request.options is None:
        raise Invalid("an amendment changes something: give title, body or options")
    if request.options is not None and loaded.question.options == TWO_WAY:
        raise Invalid("this proposal is approve or reject; open another one to choose between options")
    event = AmendmentProposed(
        proposal=loaded.id, proposer=loaded.proposer, title=request.title, body=request.body, options=request.options
    )
    append(tx, call, loaded.log, event)
    return view(tx, loaded.log, loaded.seq)


@handles(ACCEPT)
def accept_amendment(tx: Tx, call: Call, request: AcceptAmendment) -> Proposal:
    loaded = _own(tx, call, request.room, request.proposal, "accept amendments to")
    event = read_event(tx, loaded.log, proposal_seq(loaded.log, request.amendment))
    body = AmendmentProposed.load(event.data) if event is not None and event.type == AmendmentProposed.type else None
    if not isinstance(body, AmendmentProposed) or body.proposal != loaded.id:
        raise rules.ProposalNotFound(f"{request.amendment!r} is not an amendment of {loaded.id}; its view lists them")
    accepted = AmendmentAccepted(
        proposal=loaded.id,
        amendment=request.amendment,
        title=body.title or loaded.title,
        body=loaded.body if body.body is None else body.body,
        options=body.options or loaded.question.options,
        voters=loaded.voters,
    )
    append(tx, call, loaded.log, accepted)
    return view(tx, loaded.log, loaded.seq)


def _open(tx: Tx, call: Call, room: str, proposal: str) -> Loaded:
    """The proposal, while it is open and its deadline has not passed. Raises ProposalClosedAlready that says how it ended."""
    entered = enter_to_write(tx, call, room)
    loaded = load_proposal(tx, entered.log, proposal_seq(entered.log, proposal))
    if loaded.state != "open":
        there = view(tx, loaded.log, loaded.seq)
        won = f", {there.outcome}" if loaded.state == "decided" else ""
        raise rules.ProposalClosedAlready(
            f"{loaded.id} is closed: {loaded.state}{won}; open a new proposal to decide again",
            proposal=there.model_dump(mode="json"),
        )
    if loaded.deadline_ms is not None and loaded.deadline_ms <= call.now_ms:
        raise rules.ProposalClosedAlready(
            f"the deadline of {loaded.id} has passed; it is counted within a second. Open a new proposal to decide again",
            proposal=view(tx, loaded.log, loaded.seq).model_dump(mode="json"),
        )
    return loaded


def _own(tx: Tx, call: Call, room: str, proposal: str, what: str) -> Loaded:
    loaded = _open(tx, call, room, proposal)
    if call.agent != loaded.proposer:
        raise Forbidden(f"only its proposer can {what} a proposal")
    return loaded
