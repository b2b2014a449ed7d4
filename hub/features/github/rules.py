"""What is sent to GitHub, to which repository, and what an answer of GitHub means. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hub.core.errors import Conflict, Forbidden, Invalid, NotFound, listing, nearest
from hub.core.visible import visible
from hub.features.github.contract import MOST_BODY, NAMES, Kind

UNCONFIGURED: Final = (
    "this hub has no GitHub token: its operator sets BRIDGE_GITHUB_TOKEN (or github_token in bridge.toml) to a"
    " fine-grained token with write access to Issues and Pull requests, and starts it again"
)
UNINSTALLED: Final = (
    "this hub cannot speak to GitHub: its operator installs 'multi-agent-bridge[github]' and starts it again"
)
STARTING: Final = "no hub that can speak to GitHub is running yet; try again in a moment"
MOST_WAITING: Final = 50
SENDS: Final = 6  # tries that certainly did not reach GitHub, before giving up
LOOKS: Final = 4
LONGEST_WAIT_S: Final = 3600.0
_PAUSES_S: Final = (2.0, 10.0, 30.0, 120.0, 600.0)
_QUOTED: Final = 8000  # characters of each thing; the rest is in the room
_ZERO_WIDTH: Final = "\u200b"


class GithubOff(Conflict):
    """What the hub lacks is in the message. Nothing was stored."""

    code, title = "github-off", "The hub cannot reach GitHub"


class RepositoryNotAllowed(Forbidden):
    """`repositories` are those the room may use."""

    code, title = "repository-not-allowed", "The room may not use this repository"


class OpeningNotFound(NotFound):
    code, title = "opening-not-found", "No such issue or pull request was asked for"


class SourceNotFound(NotFound):
    code, title = "source-not-found", "Nothing to make it from"


class AlreadyAtGithub(Conflict):
    """`opening` is the one that exists."""

    code, title = "already-at-github", "There is one already"


class GithubBusy(Conflict):
    code, title = "github-busy", "Too many wait to be sent"


class NotRetryable(Conflict):
    """`state` is what it is in."""

    code, title = "not-retryable", "Nothing to try again"


def choose_repository(allowed: Sequence[str], named: str | None) -> str:
    """The allowed repository that is meant, in the owner's spelling. Raises RepositoryNotAllowed."""
    if not allowed:
        raise RepositoryNotAllowed(
            "this room may not open anything at GitHub yet; an owner allows it with github.allow:"
            " mcp-bridge github allow ROOM owner/name",
            repositories=[],
        )
    if named is None:
        return allowed[0]
    for one in allowed:
        if one.casefold() == named.casefold():  # GitHub's names know no case
            return one
    close = nearest(named, allowed)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise RepositoryNotAllowed(
        f"{named!r} is not one of this room's repositories; {hint}allowed: {listing(allowed)}. An owner can add it",
        repositories=list(allowed),
    )


# --- what is sent ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A message, card or decision as an issue quotes it."""

    id: str
    name: str
    by: str
    at: str
    title: str
    text: str


_MENTION: Final = re.compile(r"@(?=[\w\[])|(?<=[#])(?=\d)|(?<=\bGH-)(?=\d)|(?<=<)(?=!--)", re.IGNORECASE)
_CLOSING: Final = re.compile(r"\b(close[sd]?|fix(?:e[sd])?|resolve[sd]?)(:?\s+)(?=https?://)", re.IGNORECASE)


def harmless(text: str) -> str:
    """Peers' text that at GitHub mentions nobody, refers to no issue, closes none and hides nothing."""
    shown = _MENTION.sub(lambda found: found[0] + _ZERO_WIDTH, visible(text))
    return _CLOSING.sub(lambda found: found[1] + _ZERO_WIDTH + found[2], shown)


def title_of(given: str | None, sources: Sequence[Source]) -> str:
    """The title, or one from the first source. Raises Invalid when there is neither."""
    if given is not None:
        return given
    for source in sources:
        if line := " ".join(harmless(source.title[:500]).split()):
            return line if len(line) <= 120 else line[:119] + "…"
    raise Invalid("give a title, or the id of a message, card or decision in about")


def compose(body: str, sources: Sequence[Source], room: str, by: str, marker: str = "") -> str:
    """The body: what was written for it, then each source quoted, then where it comes from. Fits GitHub's limit."""
    foot = f"Opened from the room `{room}` by `{by}`."
    end = f"\n\n<!-- {marker} -->" if marker else ""
    parts = [body.strip(), *map(_quote, sources)]
    text = "\n\n".join(part for part in parts if part)
    room_left = MOST_BODY - len(foot) - len(end) - 10
    if len(text) > room_left:
        text = text[: room_left - 1] + "…"
    return f"{text}\n\n{foot}{end}" if text else foot + end


def _quote(source: Source) -> str:
    text = harmless(source.text[:_QUOTED]).strip()
    if len(source.text) > _QUOTED:
        text += f"… ({len(source.text) - _QUOTED} more characters in the room)"
    head = f"{source.name} `{source.id}` by `{source.by}`, {source.at[:16].replace('T', ' ')} UTC"
    quoted = "\n".join(f"> {line}".rstrip() for line in text.splitlines())
    return f"{head}:\n\n{quoted}" if quoted else head


# --- what an answer means --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """GitHub has it."""

    number: int
    url: str


@dataclass(frozen=True, slots=True)
class Refused:
    """GitHub certainly did not make it and will not."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """GitHub certainly did not make it and may, after this many seconds."""

    wait_s: float | None
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Nobody knows whether GitHub made it: the answer got lost."""

    reason: str


@dataclass(frozen=True, slots=True)
class Absent:
    """It was looked for and is not there."""


Outcome = Made | Refused | Later | Doubtful | Absent


def pause_s(tries: int) -> float:
    return _PAUSES_S[min(tries, len(_PAUSES_S) - 1)]


def judge(status: int, said: str, repo: str, kind: Kind) -> Outcome:
    """What an answer without success means; `said` is GitHub's own explanation."""
    what = f"{NAMES[kind]}s"
    if status >= 500:
        return Doubtful(f"GitHub answered {status}{_said(said)}")
    told: dict[int, tuple[str, str]] = {
        301: ("moved", f"{repo} was renamed or moved; an owner allows its new name"),
        307: ("moved", f"{repo} was renamed or moved; an owner allows its new name"),
        308: ("moved", f"{repo} was renamed or moved; an owner allows its new name"),
        401: ("bad-token", "GitHub does not accept the hub's token (revoked or expired?); its operator sets a new one"),
        403: (
            "forbidden",
            f"the hub's token may not open {what} in {repo}; its operator gives it write access to them",
        ),
        404: ("not-found", f"{repo} does not exist, or the hub's token does not see it; check the name and the token"),
        410: ("gone", f"{repo} has its {what} switched off; switch them on at GitHub, or name another repository"),
        422: ("invalid", "GitHub refuses it as it is; change what it names and open it again"),
    }
    code, reason = told.get(status, ("refused", f"GitHub answered {status}"))
    return Refused(code, reason + _said(said))


def _said(said: str) -> str:
    return f" (GitHub: {said})" if said else ""


def explanation(answer: Any) -> str:
    """GitHub's message with its details, on one line; whatever JSON came."""
    if not isinstance(answer, Mapping):
        return ""
    parts = [str(answer.get("message", ""))]
    errors = answer.get("errors")
    for one in errors[:5] if isinstance(errors, list) else ():
        if isinstance(one, Mapping):
            detail = one.get("message") or " ".join(str(one[k]) for k in ("resource", "field", "code") if k in one)
            parts.append(str(detail))
        else:
            parts.append(str(one))
    return visible_line("; ".join(part for part in parts if part))


def limited(wait_s: float, said: str) -> Later:
    return Later(max(1.0, wait_s), "rate-limited", f"GitHub's rate limit is used up{_said(said)}")


def visible_line(text: str) -> str:
    """Somebody's text on one short line."""
    return visible(" ".join(text.split()))[:500]


def may_send(access: str | None, *, archived: bool) -> None:
    """Raises Forbidden unless who asked may still write in the room."""
    if access in (None, "reader") or archived:
        raise Forbidden("who asked for it may not write in the room any more, or the room is archived")


def need_source_kind(thing: str) -> str:
    """The letter of an id that can be a source. Raises SourceNotFound."""
    if thing[0] not in "mcd":
        raise SourceNotFound(f"{thing} is no message, card or decision; pass an id like m2-1k, c2-1k or d2-1k")
    return thing[0]


def same(openings: Iterable[tuple[Sequence[str], Any]], about: Sequence[str]) -> Any | None:
    """The first of these (about, opening) that shares a thing with `about`."""
    wanted = set(about)
    return next((opening for things, opening in openings if wanted & set(things)), None)
