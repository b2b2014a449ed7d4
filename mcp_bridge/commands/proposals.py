"""`proposals …`: open, list, show, vote, close, withdraw, amend, accept."""

from __future__ import annotations

from typing import Any, get_args

import click

from hub.client import HubClient
from hub.core.visible import visible
from hub.features.voting.contract import (
    AcceptAmendment,
    CastBallot,
    CloseProposal,
    GetProposal,
    ListProposals,
    Mode,
    OpenProposal,
    Proposal,
    ProposeAmendment,
    WithdrawProposal,
)
from mcp_bridge.commands.common import json_option, show, table, with_client


@click.group()
def proposals() -> None:
    """Open, vote on and close decisions."""


@proposals.command("open")
@click.argument("room")
@click.argument("title")
@click.option("--option", "options", multiple=True, help="An option (repeatable); none: approve or reject.")
@click.option("--mode", type=click.Choice(get_args(Mode)), help="Default: majority, or plurality with options.")
@click.option("--quorum", type=float, default=0, help="Share of the electorate that must cast anything.")
@click.option("--threshold", type=float, help="supermajority: share of approvals needed.")
@click.option("--veto", multiple=True, help="An agent who may veto (repeatable).")
@click.option("--weighted", is_flag=True, help="Count the room's weights.")
@click.option("--deadline-s", type=int)
@click.option("--body", default="")
@json_option
@with_client
async def open_(
    client: HubClient,
    room: str,
    title: str,
    options: tuple[str, ...],
    mode: str | None,
    threshold: float | None,
    as_json: bool,
    deadline_s: int | None,
    body: str,
    **rule: Any,
) -> None:
    """Open a decision in ROOM."""
    rule["mode"] = mode or ("plurality" if options else "majority")
    if threshold is not None:
        rule["threshold"] = threshold
    made = {
        "room": room,
        "title": title,
        "options": options or None,
        "rule": rule,
        "deadline_s": deadline_s,
        "body": body,
    }
    found = await client.call(OpenProposal.model_validate(made))
    show(found, as_json, lambda: text_of(found))


@proposals.command("list")
@click.argument("room")
@click.option("--all", "everything", is_flag=True, help="Closed ones too: the register of decisions.")
@json_option
@with_client
async def list_(client: HubClient, room: str, everything: bool, as_json: bool) -> None:
    """Proposals of ROOM."""
    page = await client.call(ListProposals(room=room, open=not everything))
    rows = [(p.id, p.state, p.outcome or "", p.by, p.title) for p in page.items]
    show(page, as_json, lambda: table(rows, ("id", "state", "outcome", "by", "title")) if rows else "nothing is open")


def text_of(proposal: Proposal) -> str:
    """A proposal for a terminal."""
    ballots = "\n".join(
        f"  {b.agent}: {b.choice}" + (f" ({visible(b.reason)})" if b.reason else "") for b in proposal.ballots
    )
    outcome = f" → {proposal.outcome}" if proposal.outcome else ""
    amendments = "".join(
        f"\n  amendment {a.amendment} by {a.by}{' (accepted)' if a.accepted else ''}: {visible(a.title or '')}"
        for a in proposal.amendments
    )
    return (
        f"{proposal.id} {visible(proposal.title)} [{', '.join(proposal.options)}; {proposal.rule.mode}]\n"
        f"{proposal.state}{outcome}  {proposal.arithmetic or ''}\n{ballots}"
        + (f"\n  missing: {', '.join(proposal.missing)}" if proposal.state == "open" else "")
        + amendments
    )


@proposals.command("show")
@click.argument("room")
@click.argument("proposal")
@json_option
@with_client
async def show_(client: HubClient, room: str, proposal: str, as_json: bool) -> None:
    """A proposal with its ballots and arithmetic."""
    found = await client.call(GetProposal(room=room, proposal=proposal))
    show(found, as_json, lambda: text_of(found))


@proposals.command("vote")
@click.argument("room")
@click.argument("proposal")
@click.argument("choice", nargs=-1, required=True)
@click.option("--reason", default="")
@json_option
@with_client
async def vote(
    client: HubClient, room: str, proposal: str, choice: tuple[str, ...], reason: str, as_json: bool
) -> None:
    """Cast or change your ballot; several CHOICEs rank them, best first."""
    ballot = CastBallot(room=room, proposal=proposal, choice=choice if len(choice) > 1 else choice[0], reason=reason)
    found = await client.call(ballot)
    show(found, as_json, lambda: text_of(found))


@proposals.command("close")
@click.argument("room")
@click.argument("proposal")
@json_option
@with_client
async def close(client: HubClient, room: str, proposal: str, as_json: bool) -> None:
    """Count and close now (proposer or owner)."""
    found = await client.call(CloseProposal(room=room, proposal=proposal))
    show(found, as_json, lambda: text_of(found))


@proposals.command("withdraw")
@click.argument("room")
@click.argument("proposal")
@json_option
@with_client
async def withdraw(client: HubClient, room: str, proposal: str, as_json: bool) -> None:
    """Take back your own proposal."""
    found = await client.call(WithdrawProposal(room=room, proposal=proposal))
    show(found, as_json, lambda: text_of(found))


@proposals.command("amend")
@click.argument("room")
@click.argument("proposal")
@click.option("--title")
@click.option("--body")
@click.option("--option", "options", multiple=True, help="The options instead of the present ones (repeatable).")
@json_option
@with_client
async def amend(
    client: HubClient,
    room: str,
    proposal: str,
    title: str | None,
    body: str | None,
    options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Suggest another wording or other options; the proposer decides."""
    found = await client.call(
        ProposeAmendment(room=room, proposal=proposal, title=title, body=body, options=options or None)
    )
    show(found, as_json, lambda: text_of(found))


@proposals.command("accept")
@click.argument("room")
@click.argument("proposal")
@click.argument("amendment")
@json_option
@with_client
async def accept(client: HubClient, room: str, proposal: str, amendment: str, as_json: bool) -> None:
    """Take an amendment into your proposal; every ballot cast so far is void."""
    found = await client.call(AcceptAmendment(room=room, proposal=proposal, amendment=amendment))
    show(found, as_json, lambda: text_of(found))
