"""GitHub's REST API as this hub uses it: open, and look for what was opened. The only place that speaks to GitHub.

githubkit repeats no call here: its own retries could open the same thing twice. No answer, error or log line holds
the token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from hub.features.github import rules
from hub.features.github.contract import Kind
from hub.features.github.rules import Absent, Doubtful, Later, Made, Outcome, Refused

TIMEOUT_S: Final = 20.0  # GitHub itself gives up after 10 s
_PAGE: Final = 100
_MOST_PAGES: Final = 5
_CLOCK_SKEW_S: Final = 600


@dataclass(frozen=True, slots=True)
class Wanted:
    """An issue or pull request to open, or to look for."""

    kind: Kind
    repo: str
    title: str
    body: str
    marker: str
    asked_at_ms: int
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    head: str | None = None
    base: str | None = None
    draft: bool = False

    @property
    def place(self) -> tuple[str, str]:
        owner, _, repo = self.repo.partition("/")
        return owner, repo


class GithubApi:
    """GitHub, for one token."""

    def __init__(self, token: str, address: str) -> None:
        self._token, self._address = token, address
        self._github: Any = None

    async def _connect(self) -> Any:
        """githubkit's client. Importing it takes about a second, so a thread does it and only when it is needed."""
        if self._github is None:
            kit, httpx = await asyncio.to_thread(lambda: (import_module("githubkit"), import_module("httpx")))
            self._github = kit.GitHub(
                self._token,
                base_url=self._address,
                user_agent="multi-agent-bridge",
                follow_redirects=False,  # a POST would arrive as a GET, and maybe elsewhere
                timeout=httpx.Timeout(TIMEOUT_S, connect=10.0),
                trust_env=urlsplit(self._address).hostname not in ("127.0.0.1", "localhost", "::1"),
                http_cache=False,
                auto_retry=False,
            )
        return self._github

    async def open(self, wanted: Wanted) -> Outcome:
        """Send it once."""
        try:
            github = await self._connect()
        except ImportError:
            return Refused("github-off", rules.UNINSTALLED)
        if wanted.kind == "issue":
            fields = {"labels": list(wanted.labels), "assignees": list(wanted.assignees)}
            return await self._create(wanted, github.rest.issues.async_create, {k: v for k, v in fields.items() if v})
        base = wanted.base or await self._default_branch(github, wanted)
        if not isinstance(base, str):
            return base
        fields_ = {"head": wanted.head, "base": base, "draft": wanted.draft}
        return await self._create(wanted, github.rest.pulls.async_create, fields_)

    async def _create(self, wanted: Wanted, call: Callable[..., Awaitable[Any]], more: Mapping[str, Any]) -> Outcome:
        found = await _asked(wanted, call(*wanted.place, title=wanted.title, body=wanted.body, **more))
        return _made(found) if isinstance(found, Mapping) else _outcome(found)

    async def _default_branch(self, github: Any, wanted: Wanted) -> str | Outcome:
        found = await _asked(wanted, github.rest.repos.async_get(*wanted.place))
        if isinstance(found, Mapping):
            branch = found.get("default_branch")
            return branch if isinstance(branch, str) else Refused("no-base", "name the base branch: base='main'")
        outcome = _outcome(found)
        return Later(None, "unreachable", outcome.reason) if isinstance(outcome, Doubtful) else outcome  # only asked

    async def find(self, wanted: Wanted) -> Outcome:
        """Look for what was sent before, by the marker in its body, from the newest back to when it was asked for."""
        try:
            github = await self._connect()
        except ImportError:
            return Doubtful(rules.UNINSTALLED)
        since_s = wanted.asked_at_ms / 1000 - _CLOCK_SKEW_S
        for page in range(1, _MOST_PAGES + 1):
            found = await _asked(wanted, self._list(github, wanted, page))
            if not isinstance(found, list):
                return _outcome(found)
            for one in found:
                if isinstance(one, Mapping) and wanted.marker in str(one.get("body")):
                    return _made(one)
            if len(found) < _PAGE or _created_s(found[-1]) < since_s:
                return Absent()
        return Doubtful(f"{_PAGE * _MOST_PAGES} newer ones hide whether it is there")

    def _list(self, github: Any, wanted: Wanted, page: int) -> Awaitable[Any]:
        shared = {"state": "all", "sort": "created", "direction": "desc", "per_page": _PAGE, "page": page}
        listing: Awaitable[Any]
        if wanted.kind == "issue":
            listing = github.rest.issues.async_list_for_repo(*wanted.place, **shared)
        else:
            head = wanted.head or ""
            full = head if ":" in head else f"{wanted.place[0]}:{head}"
            listing = github.rest.pulls.async_list(*wanted.place, head=full, **shared)
        return listing


def _created_s(one: Any) -> float:
    try:
        return datetime.fromisoformat(str(one["created_at"])).astimezone(UTC).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0


def _outcome(found: Any) -> Outcome:
    """What was not an answer as wanted."""
    if isinstance(found, Made | Refused | Later | Doubtful | Absent):
        return found
    return Doubtful("GitHub's answer could not be read")


def _made(answer: Mapping[str, Any]) -> Outcome:
    number, url = answer.get("number"), answer.get("html_url")
    if isinstance(number, int) and isinstance(url, str) and url.startswith(("https://", "http://")) and len(url) <= 500:
        return Made(number, url)
    return Doubtful("GitHub's answer names no issue or pull request")


async def _asked(wanted: Wanted, call: Awaitable[Any]) -> Any:
    """The JSON of a successful answer, or what its failure means."""
    kit, httpx = import_module("githubkit.exception"), import_module("httpx")
    try:
        response = await call
    except kit.RateLimitExceeded as error:
        return rules.limited(error.retry_after.total_seconds(), _said(error.response))
    except kit.RequestFailed as error:
        return _failed(wanted, error.response)
    except kit.RequestError as error:
        name = type(error.exc).__name__
        if isinstance(error.exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
            return Later(None, "unreachable", f"GitHub cannot be reached ({name}); is the hub's network up?")
        return Doubtful(f"the connection to GitHub broke ({name})")
    except ValueError as error:  # a body that GitHub's own schema refuses: nothing was sent
        return Refused("invalid", f"GitHub would refuse it: {rules.visible_line(str(error))}")
    if response.status_code >= 300:
        return _failed(wanted, response)
    try:
        return response.json()
    except ValueError:
        return Doubtful("GitHub's answer is no JSON")


def _failed(wanted: Wanted, response: Any) -> Outcome:
    said = _said(response)
    if response.status_code in (403, 429) and "rate limit" in said.lower():
        return rules.limited(60, said)  # the documentation's advice where no header says how long
    return rules.judge(response.status_code, said, wanted.repo, wanted.kind)


def _said(response: Any) -> str:
    try:
        return rules.explanation(response.json())
    except ValueError:
        return ""
