"""Who may do what to remarks and decisions, and the register as a document. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from hub.core.errors import Conflict, Forbidden, NotFound
from hub.features.discussion.contract import Decision, Remark

REMARKABLE: Final = {  # type of the event that made it -> first letter of its id
    "proposal.opened": "p",
    "message.posted": "m",
    "critique.made": "k",
    "alternative.offered": "k",
    "argument.made": "k",
    "decision.recorded": "d",
    "proposal.closed": "d",
}


class ThingNotFound(NotFound):
    code, title = "thing-not-found", "Nothing to remark on"


class DecisionNotFound(NotFound):
    code, title = "decision-not-found", "Decision not found"


class DecisionSuperseded(Conflict):
    code, title = "decision-superseded", "The decision is superseded"


def may_resolve(kind: str, critic: int, agent: int, access: str) -> None:
    if kind != "critique":
        raise Forbidden("only a critique can be resolved; alternatives and arguments just stand")
    if agent != critic and access != "owner":
        raise Forbidden("only its critic or an owner of the room can say that a critique is answered")


_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#+!|~])")


def inline(text: str) -> str:
    """Text that stays text inside Markdown, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown(room: str, decisions: Sequence[Decision], remarks: Mapping[str, Sequence[Remark]]) -> str:
    """The register as a Markdown page, oldest first."""
    parts = [f"# Decisions of {room}\n"]
    if not decisions:
        parts.append("Nothing was decided yet.\n")
    parts += [_entry(one, remarks.get(one.about or one.id, ())) for one in decisions]
    return "\n".join(parts)


def _entry(one: Decision, remarks: Sequence[Remark]) -> str:
    lines = [f"## {inline(one.what)}\n", f"- outcome: **{inline(one.outcome)}**", f"- decided: {one.at}"]
    lines.append(f"- by: {', '.join(one.by) or 'nobody'}")
    lines.append(f"- id: {one.id}" + (f", vote {one.about}" if one.about else ""))
    if one.links:
        lines.append(f"- linked: {', '.join(one.links)}")
    if one.superseded_by:
        lines.append(f"- superseded by {one.superseded_by}")
    if remarks:
        lines += ["", *map(_remark, remarks)]
    return "\n".join(lines) + "\n"


def _remark(remark: Remark) -> str:
    more = remark.side or remark.severity or ""
    label = f"{remark.kind} ({more}{', resolved' if remark.resolved else ''})" if more else remark.kind
    instead = "".join(f"\n  - instead: {inline(text)}" for text in remark.alternatives)
    return f"- {label} by {remark.by}: {inline(remark.text)}{instead}"
