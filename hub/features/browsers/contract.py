"""Operations of the browser extension: pair it, enter a tab as an agent, report what the tab finds on its page."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from hub.core.model import Model
from hub.core.names import NewName
from hub.core.operation import AnyOperation, Done, Operation, Request, Result

PAIRING_SCOPES = ("room:read", "room:send", "file:read", "file:write", "vote", "browser:enter")
PartName = Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9]{0,39}$")]


class PairBrowser(Request["BrowserPaired"]):
    """A token for one browser's extension: reads and writes as you, and enters its tabs as agents of yours."""


class BrowserPaired(Result):
    shown_once: ClassVar[str] = "token"
    token_id: str
    token: str | None = Field(description="Shown this once; null when the call is a repeat.")
    agent: str
    expires_at: str


class EnterTab(Request["TabEntered"]):
    """Get a token for the agent of one tab, registering it (kind browser, yours) when it is new."""

    identity: str = Field(pattern=r"^[0-9a-f]{8,64}$", description="Digest of the browser profile and the tab's place.")
    name: NewName


class TabEntered(Result):
    shown_once: ClassVar[str] = "token"
    agent: str
    token: str | None = Field(description="Shown this once; null when the call is a repeat.")
    token_id: str


class ReportHealth(Request[Done]):
    """What a tab found on its page when it looked for its parts."""

    version: str = Field(max_length=40, description="Of the extension.")
    selectors: str = Field(max_length=40, description="Date of the list of selectors.")
    found: tuple[PartName, ...] = Field(default=(), max_length=60)
    missing: tuple[PartName, ...] = Field(default=(), max_length=60)
    fallback: tuple[PartName, ...] = Field(
        default=(), max_length=60, description="Found, but not by the first selector."
    )
    problem: str = Field(default="", max_length=64, pattern=r"^[a-z0-9-]*$", description="Such as not-logged-in.")


class Health(Model):
    """The newest report of one tab."""

    version: str
    selectors: str
    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    problem: str = ""
    at: str


class Browser(Model):
    """One tab's agent."""

    agent: str
    presence: str
    reach: str
    health: Health | None = None


class Browsers(Result):
    items: tuple[Browser, ...]
    cursor: str = ""
    has_more: bool = False


class ListBrowsers(Request[Browsers]):
    """Your tabs, with how well each finds its way on its page."""


PAIR = Operation("browsers.pair", "POST /v1/browsers/pair", "hub:admin", PairBrowser, BrowserPaired, 201, "hub")
ENTER = Operation("browsers.enter", "POST /v1/browsers/enter", "browser:enter", EnterTab, TabEntered, 200, "hub")
REPORT = Operation("browsers.report", "POST /v1/browsers/report", "task:claim", ReportHealth, Done, 200, "hub")
LIST = Operation("browsers.list", "GET /v1/browsers", "room:read", ListBrowsers, Browsers)
OPERATIONS: list[AnyOperation] = [PAIR, ENTER, REPORT, LIST]
