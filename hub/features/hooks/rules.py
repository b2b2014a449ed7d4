"""Whether a call is signed, and what a GitHub event says. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hub.core.errors import NotFound, Unauthorized
from hub.features.hooks.contract import Happening, Source

TOLERANCE_MS: Final = 300_000
_LONGEST: Final = 4000


class HookNotFound(NotFound):
    code, title = "hook-not-found", "Hook not found"


class BadSignature(Unauthorized):
    """The same for a hook that does not exist, so that ids tell nothing."""

    code, title = "bad-signature", "The signature does not fit"


def refuse() -> BadSignature:
    return BadSignature("no such hook, or the signature does not fit: check the address and the secret at the sender")


def proof(source: Source, secret: str, headers: Mapping[str, str], body: bytes, now_ms: int) -> tuple[str, ...]:
    """What makes this call the same as another one. Raises BadSignature unless the secret's owner signed it.

    GitHub signs the body alone, so its signature counts as well as its delivery id: who recorded a call cannot repeat
    it under a new id. Standard Webhooks sign id and time too; the time may be five minutes off.
    """
    if source == "github":
        return _github(secret, headers, body)
    return _standard(secret, headers, body, now_ms)


def _github(secret: str, headers: Mapping[str, str], body: bytes) -> tuple[str, ...]:
    given = headers.get("x-hub-signature-256", "")
    right = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(given.encode(), right.encode()):
        raise refuse()
    return (right, *filter(None, (headers.get("x-github-delivery", "")[:100],)))


def _standard(secret: str, headers: Mapping[str, str], body: bytes, now_ms: int) -> tuple[str, ...]:
    ident, stamp = headers.get("webhook-id", "")[:256], headers.get("webhook-timestamp", "")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise refuse() from None
    made = hmac.new(key, f"{ident}.{stamp}.".encode() + body, hashlib.sha256).digest()
    right = b"v1," + base64.b64encode(made)
    fits = [hmac.compare_digest(one.encode(), right) for one in headers.get("webhook-signature", "").split(" ")[:10]]
    in_time = (
        stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and abs(int(stamp) * 1000 - now_ms) <= TOLERANCE_MS
    )
    if not ident or not in_time or not any(fits):
        raise refuse()
    return (ident,)


@dataclass(frozen=True, slots=True)
class News:
    """One line for the room, the address it is about, and what happened to it."""

    text: str
    url: str = ""
    happening: Happening | None = None


def news(event: str, payload: Mapping[str, Any]) -> News | None:
    """What a GitHub event says to a room; None for what would only be noise. Any JSON object is safe to give."""
    repo, who = _text(payload, "repository", "full_name"), _text(payload, "sender", "login")
    action = _text(payload, "action")
    if event == "ping":
        return News(f"GitHub is connected: {repo or 'an organisation'}")
    made = _thing(event, action, payload, who) or _other(event, action, payload, who)
    return None if made is None else News(f"[{repo}] {made.text}"[:_LONGEST], made.url, made.happening)


def _thing(event: str, action: str, payload: Mapping[str, Any], who: str) -> News | None:
    """Issues and pull requests, with what is said on them."""
    kind = "pull_request" if event.startswith("pull_request") else "issue"
    title = f"{kind.replace('_', ' ')} #{_text(payload, kind, 'number')} {_text(payload, kind, 'title')}"
    url = _text(payload, kind, "html_url")
    if event == "pull_request" and action == "closed" and _text(payload, kind, "merged") == "True":
        return News(f"{who} merged {title} {url}", url, "merged")
    happenings: dict[tuple[str, str], Happening | None] = {
        ("issues", "opened"): None,
        ("issues", "closed"): "closed",
        ("issues", "reopened"): "reopened",
        ("pull_request", "opened"): "review",
        ("pull_request", "ready_for_review"): "review",
        ("pull_request", "closed"): "closed",
        ("pull_request", "reopened"): "reopened",
    }
    if (event, action) in happenings:
        return News(f"{who} {action.replace('_', ' ')}: {title} {url}", url, happenings[event, action])
    if (event, action) == ("issue_comment", "created"):
        return News(f"{who} commented on {title} {url}: {_text(payload, 'comment', 'body')[:1000]}", url)
    if (event, action) == ("pull_request_review", "submitted"):
        return News(f"{who} reviewed {title} {url}: {_text(payload, 'review', 'state')}", url)
    return None


def _other(event: str, action: str, payload: Mapping[str, Any], who: str) -> News | None:
    if event == "push":
        commits = payload.get("commits")
        count = len(commits) if isinstance(commits, list) else 0
        url = _text(payload, "compare")
        return News(f"{who} pushed {count} commits to {_text(payload, 'ref').removeprefix('refs/heads/')} {url}", url)
    if (event, action) == ("workflow_run", "completed"):
        run = f"{_text(payload, 'workflow_run', 'name')} on {_text(payload, 'workflow_run', 'head_branch')}"
        url = _text(payload, "workflow_run", "html_url")
        return News(f"{run}: {_text(payload, 'workflow_run', 'conclusion')} {url}", url)
    if (event, action) == ("release", "published"):
        url = _text(payload, "release", "html_url")
        return News(f"{who} released {_text(payload, 'release', 'tag_name')} {url}", url)
    return None


def _text(payload: Mapping[str, Any], *path: str) -> str:
    """The text at a path, on one line; empty when there is none."""
    found: Any = payload
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return " ".join(str(found).split()) if isinstance(found, str | int) else ""
