"""Pairing a browser, entering its tabs, keeping each tab's newest report."""

from __future__ import annotations

from typing import Final

from hub.core.call import Call
from hub.core.errors import Forbidden
from hub.core.operation import Done
from hub.core.times import rfc3339
from hub.features.browsers.contract import (
    ENTER,
    LIST,
    PAIR,
    PAIRING_SCOPES,
    REPORT,
    Browser,
    BrowserPaired,
    Browsers,
    EnterTab,
    Health,
    ListBrowsers,
    PairBrowser,
    ReportHealth,
    TabEntered,
)
from hub.kernel.agents.contract import EnterAgent
from hub.kernel.agents.handlers import enter_agent, issue
from hub.log.handler import handles
from hub.storage.interface import Tx

PAIRING_S: Final = 90 * 86400


@handles(PAIR)
def pair_browser(tx: Tx, call: Call, request: PairBrowser) -> BrowserPaired:
    made = issue(tx, call, call.agent, PAIRING_SCOPES, PAIRING_S)
    return BrowserPaired(token_id=made.token_id, token=made.token, agent=made.agent, expires_at=made.expires_at)


@handles(ENTER)
def enter_tab(tx: Tx, call: Call, request: EnterTab) -> TabEntered:
    made = enter_agent(tx, call, EnterAgent(identity=request.identity, name=request.name, kind="browser"))
    return TabEntered(agent=made.agent, token=made.token, token_id=made.token_id)


@handles(REPORT)
def report_health(tx: Tx, call: Call, request: ReportHealth) -> Done:
    if call.principal.kind != "browser":
        raise Forbidden("only a tab's own agent (kind browser) reports what it finds")
    health = Health(at=rfc3339(call.now_ms), **request.model_dump())
    tx.run(
        "insert into browser_health (agent, report) values (:agent, :report)"
        " on conflict (agent) do update set report = excluded.report",
        agent=call.agent,
        report=health.json_bytes().decode(),
    )
    return Done()


@handles(LIST)
def list_browsers(tx: Tx, call: Call, request: ListBrowsers) -> Browsers:
    rows = tx.rows(
        "select id, name, report from agent left join browser_health on browser_health.agent = agent.id"
        " where kind = 'browser' and retired_at is null and owner = :owner order by id",
        owner=call.principal.owner,
    )
    return Browsers(items=tuple(_browser(call, row[0], row[1], row[2]) for row in rows))


def _browser(call: Call, agent: int, name: str, report: str | None) -> Browser:
    presence, reach = call.presence(agent)
    health = None if report is None else Health.model_validate_json(report)
    return Browser(agent=name, presence=presence, reach=reach, health=health)
