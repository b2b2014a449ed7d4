"""`decisions …` and `discuss …`: the register, and what is said for and against."""

from __future__ import annotations

from typing import Any, Literal, get_args

import click

from hub.client import HubClient
from hub.core.visible import visible
from hub.features.discussion.contract import (
    AddArgument,
    AddCritique,
    ExportDecisions,
    ListAlternatives,
    ListArguments,
    ListCritiques,
    ListDecisions,
    OfferAlternative,
    RecordDecision,
    Remark,
    Remarks,
    ResolveCritique,
    Severity,
)
from hub.features.messages.contract import AcceptAnswer, FindMessage, ListQuestions
from mcp_bridge.commands.common import json_option, show, table, with_client
from mcp_bridge.commands.talk import line


@click.group()
def decisions() -> None:
    """What was decided, when and by whom; export it."""


@decisions.command("list")
@click.argument("room")
@click.option("--current", is_flag=True, help="Only what nothing supersedes.")
@json_option
@with_client
async def list_(client: HubClient, room: str, current: bool, as_json: bool) -> None:
    """The register of ROOM, newest first."""
    page = await client.call(ListDecisions(room=room, current=current))
    rows = [
        (d.id, d.at[:10], d.outcome, ", ".join(d.by), d.superseded_by or "", visible(d.what).replace("\n", " "))
        for d in page.items
    ]
    heads = ("id", "decided", "outcome", "by", "superseded by", "what")
    show(page, as_json, lambda: table(rows, heads) if rows else "nothing was decided yet")


@decisions.command("record")
@click.argument("room")
@click.argument("what")
@click.option("--link", "links", multiple=True, help="Id of a message, file, card or proposal (repeatable).")
@click.option("--supersedes", help="The decision that no longer holds.")
@json_option
@with_client
async def record(
    client: HubClient, room: str, what: str, links: tuple[str, ...], supersedes: str | None, as_json: bool
) -> None:
    """Write down WHAT was decided without a vote."""
    made = await client.call(RecordDecision(room=room, what=what, links=links, supersedes=supersedes))
    show(made, as_json, lambda: made.id)


@decisions.command("export")
@click.argument("room")
@click.option("--format", "as_", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True)
@with_client
async def export(client: HubClient, room: str, as_: Literal["markdown", "json"]) -> None:
    """The whole register of ROOM as one document, with what was said on each."""
    click.echo((await client.call(ExportDecisions(room=room, format=as_))).text)


@click.group()
def discuss() -> None:
    """Argue, criticise, suggest; open questions and accepted answers."""


def _told(remark: Remark) -> str:
    more = remark.side or remark.severity or ""
    label = f"{remark.kind} ({more})" if more else remark.kind
    done = " [resolved]" if remark.resolved else ""
    instead = "".join(f"\n    instead: {visible(text)}" for text in remark.alternatives)
    return f"{remark.id} {label} on {remark.on} by {remark.by}{done}: {visible(remark.text)}{instead}"


async def _add(client: HubClient, request: Any, as_json: bool) -> None:
    made: Remark = await client.call(request)
    show(made, as_json, lambda: _told(made))


@discuss.command("argue")
@click.argument("room")
@click.argument("on")
@click.argument("side", type=click.Choice(["pro", "con"]))
@click.argument("text")
@json_option
@with_client
async def argue(client: HubClient, room: str, on: str, side: Literal["pro", "con"], text: str, as_json: bool) -> None:
    """Argue for (pro) or against (con) the proposal, message or remark ON."""
    await _add(client, AddArgument(room=room, on=on, side=side, text=text), as_json)


@discuss.command("critique")
@click.argument("room")
@click.argument("on")
@click.argument("text")
@click.option("--severity", type=click.Choice(get_args(Severity)), default="minor", show_default=True)
@click.option("--instead", multiple=True, help="What else could be done (repeatable).")
@json_option
@with_client
async def critique(
    client: HubClient, room: str, on: str, text: str, severity: Severity, instead: tuple[str, ...], as_json: bool
) -> None:
    """Say what is wrong with ON."""
    await _add(client, AddCritique(room=room, on=on, text=text, severity=severity, alternatives=instead), as_json)


@discuss.command("suggest")
@click.argument("room")
@click.argument("on")
@click.argument("text")
@json_option
@with_client
async def suggest(client: HubClient, room: str, on: str, text: str, as_json: bool) -> None:
    """Say what else could be done instead of ON."""
    await _add(client, OfferAlternative(room=room, on=on, text=text), as_json)


@discuss.command("resolve")
@click.argument("room")
@click.argument("critique")
@json_option
@with_client
async def resolve(client: HubClient, room: str, critique: str, as_json: bool) -> None:
    """Say that CRITIQUE is answered (its critic, or an owner)."""
    await _add(client, ResolveCritique(room=room, critique=critique), as_json)


@discuss.command("show")
@click.argument("room")
@click.argument("on")
@json_option
@with_client
async def show_(client: HubClient, room: str, on: str, as_json: bool) -> None:
    """What was said on ON: arguments, critiques, alternatives."""
    items = (
        *(await client.call(ListArguments(room=room, on=on))).items,
        *(await client.call(ListCritiques(room=room, on=on))).items,
        *(await client.call(ListAlternatives(room=room, on=on))).items,
    )
    show(Remarks(items=items), as_json, lambda: "\n".join(map(_told, items)) or "nothing was said on it")


@discuss.command("questions")
@click.argument("room")
@click.option("--all", "everything", is_flag=True, help="Answered ones too.")
@json_option
@with_client
async def questions(client: HubClient, room: str, everything: bool, as_json: bool) -> None:
    """Open questions of ROOM, oldest first."""
    page = await client.call(ListQuestions(room=room, open=not everything))
    show(page, as_json, lambda: "\n".join(map(line, page.items)) or "no question is open")


@discuss.command("accept")
@click.argument("answer")
@json_option
@with_client
async def accept(client: HubClient, answer: str, as_json: bool) -> None:
    """Accept the message ANSWER to your own question, which is closed then."""
    found = (await client.call(FindMessage(message=answer))).message
    if found.reply_to is None:
        raise click.ClickException(f"{answer} answers nothing; pass a reply to your question")
    done = await client.call(AcceptAnswer(room=found.room, question=found.reply_to, answer=answer))
    show(done, as_json, lambda: f"{found.reply_to} is answered")
