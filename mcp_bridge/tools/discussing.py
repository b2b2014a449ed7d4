"""What `vote` does besides voting: arguments, critiques, alternatives, accepted answers, the register of decisions."""

from __future__ import annotations

from typing import Any, Final, Protocol

from hub.core.errors import Invalid
from hub.core.visible import visible
from hub.features.discussion.contract import (
    AddArgument,
    AddCritique,
    Decision,
    ListAlternatives,
    ListArguments,
    ListCritiques,
    ListDecisions,
    OfferAlternative,
    RecordDecision,
    Remark,
    ResolveCritique,
)
from hub.features.messages.contract import AcceptAnswer, FindMessage
from mcp_bridge.desk import Desk
from mcp_bridge.toolbox import Answer

DISCUSSED: Final = frozenset({"argue", "critique", "suggest", "resolve", "decisions", "record"})


class Asked(Protocol):
    """The arguments of `vote` that matter here."""

    @property
    def action(self) -> str: ...
    @property
    def proposal(self) -> str | None: ...
    @property
    def choice(self) -> str | list[str] | None: ...
    @property
    def text(self) -> str | None: ...
    @property
    def amendment(self) -> str | None: ...


async def discuss(desk: Desk, args: Asked, room: str) -> Answer:
    """Answer of a discussing action."""
    if args.action == "decisions":
        return await _decisions(desk, room)
    if args.action == "record":
        about = (args.proposal,) if args.proposal else ()
        made = await desk.call(RecordDecision(room=room, what=_need(args.text, "text"), links=about))
        return Answer({**brief_decision(made), "room": room}, line(made), peer_text=True)
    if args.action == "accept":
        return await _accept(desk, room, _need(args.amendment, "amendment"))
    remark = await desk.call(_remark(args, room))
    return Answer({**brief_remark(remark), "room": room}, f"[{remark.id}] {remark.kind} on {remark.on}")


def _remark(args: Asked, room: str) -> Any:
    if args.action == "resolve":
        return ResolveCritique(room=room, critique=_need(args.amendment, "amendment"))
    given = {"room": room, "on": _need(args.proposal, "proposal"), "text": _need(args.text, "text")}
    if args.action == "argue":
        return AddArgument.model_validate({**given, "side": args.choice})
    if args.action == "critique":
        return AddCritique.model_validate({**given, "severity": args.choice or "minor"})
    return OfferAlternative.model_validate(given)


async def _accept(desk: Desk, room: str, answer: str) -> Answer:
    question = (await desk.call(FindMessage(message=answer))).message.reply_to
    if question is None:
        raise Invalid(f"{answer} answers nothing; pass a reply to your question")
    await desk.call(AcceptAnswer(room=room, question=question, answer=answer))
    return Answer({"id": question, "accepted": answer}, f"accepted {answer} as the answer to {question}")


async def _decisions(desk: Desk, room: str) -> Answer:
    found = (await desk.call(ListDecisions(room=room, limit=20))).items
    text = "\n".join(map(line, found)) or "nothing was decided yet"
    return Answer({"decisions": [brief_decision(one) for one in found], "room": room}, text, peer_text=bool(found))


async def remarks_on(desk: Desk, room: str, thing: str) -> dict[str, Any]:
    """Arguments, critiques and alternatives on a thing, for a model."""
    asked = {"room": room, "on": thing, "limit": 20}
    remarks = (
        *(await desk.call(ListArguments.model_validate(asked))).items,
        *(await desk.call(ListCritiques.model_validate(asked))).items,
        *(await desk.call(ListAlternatives.model_validate(asked))).items,
    )
    return {"remarks": [brief_remark(remark) for remark in remarks]}


def brief_remark(remark: Remark) -> dict[str, Any]:
    made: dict[str, Any] = {"id": remark.id, "kind": remark.kind, "on": remark.on, "by": remark.by}
    made["text"] = visible(remark.text[:1000])
    optional = {"side": remark.side, "severity": remark.severity, "resolved": remark.resolved}
    return made | {name: value for name, value in optional.items() if value}


def brief_decision(one: Decision) -> dict[str, Any]:
    made: dict[str, Any] = {"id": one.id, "what": visible(one.what), "outcome": one.outcome, "at": one.at[:19] + "Z"}
    optional = {"by": list(one.by), "about": one.about, "links": list(one.links), "superseded_by": one.superseded_by}
    return made | {name: value for name, value in optional.items() if value}


def line(one: Decision) -> str:
    """A decision as one line."""
    gone = f" (superseded by {one.superseded_by})" if one.superseded_by else ""
    return f"[{one.id}] {one.at[:10]} {visible(one.what)}: {one.outcome}{gone}"


def _need(value: str | None, name: str) -> str:
    if not value:
        raise Invalid(f"this action needs {name}")
    return value
