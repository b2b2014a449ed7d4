"""Rows of agents and tokens from their events, and loading them."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from hub.core.access import Principal
from hub.core.errors import AgentNotFound, listing, nearest
from hub.core.event import Placed
from hub.core.names import from_base32
from hub.kernel.agents.contract import AgentRegistered, AgentRetired, TokenIssued, TokenRevoked, TokenRotated
from hub.log.log import projects
from hub.storage.interface import Row, Tx


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One registration of a name."""

    id: int
    name: str
    kind: str
    owner: int
    title: str
    labels: tuple[str, ...]
    created_at: int
    retired_at: int | None


@projects(AgentRegistered)
def registered(tx: Tx, at: Placed, body: AgentRegistered) -> None:
    owner = body.owner or at.seq
    labels = orjson.dumps(list(body.labels)).decode()
    tx.stage("agent", (at.log, at.seq, body.name, body.kind, owner, body.title, labels, at.at_ms, None))
    row = AgentRow(at.seq, body.name, body.kind, owner, body.title, body.labels, at.at_ms, None)
    tx.remember(("agent", at.seq), row)
    tx.remember(("agent name", at.seq), body.name)
    tx.remember(("agent id", body.name), at.seq)


@projects(AgentRetired)
def retired(tx: Tx, at: Placed, body: AgentRetired) -> None:
    tx.run("update agent set retired_at = :at where log = :log and id = :id", at=at.at_ms, log=at.log, id=body.agent)
    tx.run(
        "update token set revoked_at = :at where log = :log and agent = :id and revoked_at is null",
        at=at.at_ms,
        log=at.log,
        id=body.agent,
    )
    tx.forget(("agent", body.agent))
    tx.remember(("agent id", body.name), None)


@projects(TokenIssued)
def issued(tx: Tx, at: Placed, body: TokenIssued) -> None:
    scopes = " ".join(body.scopes)
    tx.stage("token", (at.log, at.seq, body.agent, body.hash, scopes, at.at_ms, body.expires_at_ms, None))


@projects(TokenRotated)
def rotated(tx: Tx, at: Placed, body: TokenRotated) -> None:
    tx.run(
        "update token set expires_at = case when expires_at < :until then expires_at else :until end"
        " where log = :log and id = :id",
        until=body.until_ms,
        log=at.log,
        id=from_base32(body.token_id),
    )


@projects(TokenRevoked)
def revoked(tx: Tx, at: Placed, body: TokenRevoked) -> None:
    tx.run(
        "update token set revoked_at = :at where log = :log and id = :id and revoked_at is null",
        at=at.at_ms,
        log=at.log,
        id=from_base32(body.token_id),
    )


def agent_row(row: Row) -> AgentRow:
    return AgentRow(row[0], row[1], row[2], row[3], row[4], tuple(orjson.loads(row[5])), row[6], row[7])


def load_agent(tx: Tx, agent: int) -> AgentRow:
    """The registration with this id, retired or not."""

    def load() -> AgentRow | None:
        row = tx.peek(
            "select id, name, kind, owner, title, labels, created_at, retired_at from agent where log = 1 and id = :id",
            id=agent,
        )
        return None if row is None else agent_row(row)

    found = tx.memo(("agent", agent), load)
    if found is None:
        raise AgentNotFound("that agent does not exist any more; register it again")
    return found


def find_agent(tx: Tx, name: str) -> int | None:
    """Id of the living agent with this name."""

    def load() -> int | None:
        row = tx.peek("select id from agent where name = :name and retired_at is null", name=name)
        return None if row is None else int(row[0])

    return tx.memo(("agent id", name), load)


def need_agent(tx: Tx, name: str) -> AgentRow:
    """The living agent with this name; raises AgentNotFound that lists the nearest names."""
    found = find_agent(tx, name)
    if found is None:
        names = [str(row[0]) for row in tx.rows("select name from agent where retired_at is null order by name")]
        close = nearest(name, names)
        hint = f"did you mean {' or '.join(close)}?" if close else f"agents: {listing(names)}"
        raise AgentNotFound(f"agent {name!r} not found; {hint}")
    return load_agent(tx, found)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What authentication needs of a token."""

    id: int
    hash: str
    expires_at: int
    revoked_at: int | None
    principal: Principal


def load_token(tx: Tx, token: int, token_id: str) -> TokenRow | None:
    row = tx.row(
        "select token.id, hash, expires_at, revoked_at, scopes, agent.id, name, kind, owner, labels"
        " from token join agent on agent.log = token.log and agent.id = token.agent"
        " where token.log = 1 and token.id = :token",
        token=token,
    )
    if row is None:
        return None
    principal = Principal(
        agent=row[5],
        name=row[6],
        kind=row[7],
        owner=row[8],
        scopes=frozenset(row[4].split()),
        token=token_id,
        labels=tuple(orjson.loads(row[9])),
    )
    return TokenRow(row[0], row[1], row[2], row[3], principal)
