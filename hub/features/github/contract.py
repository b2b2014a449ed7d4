"""Issues and pull requests from a room: operations, results, events. What GitHub says back comes in by hooks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, get_args

import orjson
from pydantic import AfterValidator, Field

from hub.core.event import Attached, EventBody, Placed
from hub.core.names import RoomName, make_id
from hub.core.operation import AnyOperation, Operation, Request, Result

Kind = Literal["issue", "pull"]
Final_ = Literal["opened", "failed", "unknown"]
State = Literal["queued", "opened", "failed", "unknown"]
OPENING_LETTER: Final = "g"
MOST_TITLE: Final = 256  # GitHub's own limits
MOST_BODY: Final = 65_536


def _no_dots(repo: str) -> str:
    if repo.partition("/")[2] in (".", ".."):
        raise ValueError("a repository is named owner/name")
    return repo


def _single_line(text: str) -> str:
    made = " ".join(text.split())
    if not made:
        raise ValueError("it must not be empty")
    return made


Repository = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$", description="owner/name"),
    AfterValidator(_no_dots),
]
Title = Annotated[str, Field(min_length=1, max_length=MOST_TITLE), AfterValidator(_single_line)]
Body = Annotated[str, Field(max_length=40_000)]
Branch = Annotated[
    str, Field(pattern=r"^(?:[A-Za-z0-9-]{1,39}:)?[^\s~^:?*\[\\\x00-\x1f\x7f-]{1}[^\s~^:?*\[\\\x00-\x1f\x7f]{0,199}$")
]
ThingId = Annotated[str, Field(pattern=r"^[a-z][0-9a-z]{1,12}-[0-9a-z]{1,12}$")]
About = Annotated[
    tuple[ThingId, ...],
    Field(max_length=10, description="Ids of messages, cards and decisions it is made from; each gets the link."),
    AfterValidator(lambda ids: tuple(dict.fromkeys(ids))),
]
Words = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=50)], ...], Field(max_length=20)]
OpeningId = Annotated[str, Field(min_length=3, max_length=40)]


class Github(Result):
    """Where a room may open issues and pull requests. `missing` says what the hub lacks to do it; empty: nothing."""

    room: str
    repositories: tuple[str, ...]
    missing: str = ""


class Opening(Result):
    """An issue or pull request that somebody asked for, and what became of it."""

    id: str
    room: str
    kind: Kind
    repo: str
    state: State = Field(description="`unknown`: GitHub may have it or not; `reason` says what to do.")
    by: str
    at: str
    title: str | None = Field(default=None, description="As given; without, it comes from what it is about.")
    about: tuple[str, ...] = ()
    head: str | None = None
    base: str | None = None
    number: int | None = None
    url: str | None = None
    reason: str = ""
    code: str = Field(default="", description="Of the failure: not-found, forbidden, rate-limited …")
    next_try_at: str | None = None
    not_linked: tuple[str, ...] = Field(default=(), description="Things that could not take the link, and why.")

    def settled(self) -> bool:
        return self.state in get_args(Final_)


class Openings(Result):
    """Openings of a room, the newest first."""

    items: tuple[Opening, ...]
    has_more: bool = False


class Preview(Result):
    """What would be sent. Nothing was."""

    kind: Kind
    repo: str
    title: str
    body: str
    about: tuple[str, ...] = ()
    head: str | None = None
    base: str | None = None


class GetGithub(Request[Github]):
    """To which repositories the room may send."""

    room: RoomName


class AllowGithub(Request[Github]):
    """Name the repositories in which members may open issues and pull requests; owners only. The first is the usual one.

    An empty list allows none.
    """

    room: RoomName
    repositories: tuple[Repository, ...] = Field(max_length=50)


class _Open(Request[Opening]):
    room: RoomName
    repo: Repository | None = Field(default=None, description="Default: the room's first repository.")
    title: Title | None = Field(default=None, description="Default: from the first thing it is about.")
    body: Body = Field(default="", description="Comes before what it is about, which is quoted.")
    about: About = ()
    again: bool = Field(default=False, description="Even if there is one about the same already.")


class OpenIssue(_Open):
    """Open an issue. The answer comes at once, `queued`; the hub sends it and links it when GitHub has it."""

    labels: Words = ()
    assignees: Words = Field(default=(), description="GitHub logins.")


class OpenPull(_Open):
    """Open a pull request for a branch that was pushed. Answered like an issue."""

    head: Branch = Field(description="The branch with the changes; owner:branch for one in a fork.")
    base: Branch | None = Field(
        default=None, description="Where they go; default: the repository's own default branch."
    )
    draft: bool = False


class PreviewOpening(Request[Preview]):
    """A dry run: the title and body that an issue or pull request would have. Asks GitHub nothing, changes nothing."""

    room: RoomName
    kind: Kind = "issue"
    repo: Repository | None = None
    title: Title | None = None
    body: Body = ""
    about: About = ()
    head: Branch | None = None
    base: Branch | None = None


class ListOpenings(Request[Openings]):
    """Issues and pull requests asked for in a room, the newest first; `about` only those made from one thing."""

    room: RoomName
    about: ThingId | None = None
    limit: int = Field(default=50, ge=1, le=200)


class GetOpening(Request[Opening]):
    """One of them; `wait_s` waits until it is known what became of it."""

    room: RoomName
    opening: OpeningId
    wait_s: float = Field(default=0, ge=0, le=55)


class RetryOpening(Request[Opening]):
    """Try a failed one again. An unknown one is looked for at GitHub first and sent only if it is not there."""

    room: RoomName
    opening: OpeningId


_R: Final = "/v1/rooms/{room}/github"
_ONE: Final = _R + "/openings/{opening}"
GITHUB: Final = Operation("github.get", f"GET {_R}", "room:read", GetGithub, Github)
ALLOW: Final = Operation("github.allow", f"PUT {_R}", "webhook:admin", AllowGithub, Github)
ISSUE: Final = Operation("github.issue", f"POST {_R}/issues", "room:send", OpenIssue, Opening, 202)
PULL: Final = Operation("github.pull", f"POST {_R}/pulls", "room:send", OpenPull, Opening, 202)
PREVIEW: Final = Operation("github.preview", f"POST {_R}/preview", "room:read", PreviewOpening, Preview, lock="none")
LIST: Final = Operation("github.list", f"GET {_R}/openings", "room:read", ListOpenings, Openings)
GET: Final = Operation("github.opening", f"GET {_ONE}", "room:read", GetOpening, Opening)
RETRY: Final = Operation("github.retry", f"POST {_ONE}/retry", "room:send", RetryOpening, Opening, 202)
OPERATIONS: list[AnyOperation] = [GITHUB, ALLOW, ISSUE, PULL, PREVIEW, LIST, GET, RETRY]


class GithubAllowed(EventBody):
    type: ClassVar[str] = "github.allowed"
    repositories: tuple[str, ...]


class GithubAsked(EventBody):
    """Somebody wants an issue or pull request. Texts of what it is about are not copied here: they may be blanked later."""

    type: ClassVar[str] = "github.asked"
    kind: Kind
    repo: str
    title: str | None = None
    body: str = ""
    about: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    head: str | None = None
    base: str | None = None
    draft: bool = False

    def data(self, at: Placed) -> bytes:
        made = self.model_dump(mode="json", exclude_none=True)
        return orjson.dumps({"id": make_id(OPENING_LETTER, at.log, at.seq), **made})

    def blank(self) -> bytes:
        return orjson.dumps({"kind": self.kind, "repo": self.repo, "about": self.about})


class GithubRetried(EventBody):
    type: ClassVar[str] = "github.retried"
    opening: str


class _Ended(EventBody):
    """What became of an opening; who asked for it gets a notice."""

    opening: str
    asker: int

    def concerns(self) -> tuple[int, ...]:
        return (self.asker,)

    def subject(self, log: int, seq: int) -> str:
        return self.opening


class GithubOpened(_Ended):
    """GitHub has it. Its address now belongs to everything it is about."""

    type: ClassVar[str] = "github.opened"
    kind: Kind
    repo: str
    number: int
    url: str
    about: tuple[str, ...] = ()
    not_linked: tuple[str, ...] = ()

    def attaches(self) -> Attached | None:
        return Attached(self.about, self.url)

    def notice(self) -> str:
        return f"{self.opening}: {NAMES[self.kind]} {self.repo}#{self.number} is open: {self.url}"


class GithubNotOpened(_Ended):
    """It failed, or nobody knows whether GitHub has it. The reason says what to do."""

    type: ClassVar[str] = "github.not_opened"
    state: Literal["failed", "unknown"]
    code: str
    reason: str

    def notice(self) -> str:
        return f"{self.opening} {'failed' if self.state == 'failed' else 'may be open or not'}: {self.reason}"


NAMES: Final[dict[Kind, str]] = {"issue": "issue", "pull": "pull request"}
