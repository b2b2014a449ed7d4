"""Registering agents, issuing and ending tokens."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from hub.core.access import ALL_SCOPES, DEFAULT_SCOPES, Kind
from hub.core.call import Call
from hub.core.errors import Forbidden, NameTaken, TokenNotFound
from hub.core.names import base32, from_base32
from hub.core.operation import Done
from hub.core.times import optional_rfc3339, rfc3339
from hub.kernel.agents.contract import (
    ENTER,
    ISSUE,
    LIST,
    ME,
    REGISTER,
    RETIRE,
    REVOKE,
    ROTATE,
    TOKENS,
    Agent,
    AgentCreated,
    AgentEntered,
    AgentPage,
    AgentRegistered,
    AgentRetired,
    EnterAgent,
    GetMe,
    IssueToken,
    ListAgents,
    ListTokens,
    RegisterAgent,
    RetireAgent,
    RevokeToken,
    RotateToken,
    TokenInfo,
    TokenIssued,
    TokenIssuedOnce,
    TokenPage,
    TokenRevoked,
    TokenRotated,
)
from hub.kernel.agents.project import AgentRow, agent_row, find_agent, load_agent, load_token, need_agent
from hub.log.handler import handles
from hub.log.log import HUB, agent_name, append
from hub.storage.interface import Tx

TOKEN_LIFE_S: Final = 90 * 86400
ENTERED_S: Final = 7 * 86400
OVERLAP_MS: Final = 24 * 3600 * 1000


@handles(REGISTER)
def register_agent(tx: Tx, call: Call, request: RegisterAgent) -> AgentCreated:
    if find_agent(tx, request.name) is not None:
        raise NameTaken(f"an agent named {request.name!r} exists; choose another name, or issue it another token")
    owner = 0 if request.kind == "human" else call.principal.owner
    placed = append(
        tx,
        call,
        HUB,
        AgentRegistered(name=request.name, kind=request.kind, owner=owner, title=request.title, labels=request.labels),
    )
    token = issue(tx, call, placed.seq, request.scopes, request.expires_in_s)
    return AgentCreated(agent=view(tx, load_agent(tx, placed.seq)), token=token.token, token_id=token.token_id)


def issue(tx: Tx, call: Call, agent: int, scopes: Sequence[str] | None, expires_in_s: int | None) -> TokenIssuedOnce:
    """Append a new token for an agent; its text is in the result and nowhere else."""
    granted = tuple(sorted(DEFAULT_SCOPES if scopes is None else set(scopes)))
    secret = base64.urlsafe_b64encode(call.random(32)).decode().rstrip("=")
    expires_at = call.now_ms + (expires_in_s or TOKEN_LIFE_S) * 1000
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    placed = append(tx, call, HUB, TokenIssued(agent=agent, hash=hashed, scopes=granted, expires_at_ms=expires_at))
    token_id = base32(placed.seq)
    return TokenIssuedOnce(
        token_id=token_id,
        token=f"mab_{token_id}_{secret}",
        agent=agent_name(tx, agent),
        scopes=granted,
        expires_at=rfc3339(expires_at),
    )


@handles(ENTER)
def enter_agent(tx: Tx, call: Call, request: EnterAgent) -> AgentEntered:
    label = f"identity:{request.identity}"
    row = tx.row(
        "select id from agent where retired_at is null and owner = :owner and labels like :label",
        owner=call.principal.owner,
        label=f'%"{label}"%',
    )
    agent = row[0] if row is not None else _register_free_name(tx, call, request, label)
    # where a person with the right enters, agents may ask for runs; a room allows none until a person switches them on
    token = issue(tx, call, agent, tuple(DEFAULT_SCOPES | ({"run"} & call.principal.scopes)), ENTERED_S)
    name = agent_name(tx, agent)
    return AgentEntered(agent=name, renamed=name != request.name, token=token.token, token_id=token.token_id)


def _register_free_name(tx: Tx, call: Call, request: EnterAgent, label: str) -> int:
    name, number = request.name, 2
    while find_agent(tx, name) is not None:
        name, number = f"{request.name[:58]}-{number}", number + 1
    event = AgentRegistered(
        name=name,
        kind=request.kind,
        owner=call.principal.owner,
        title=request.title,
        labels=(*request.labels, label),
    )
    return append(tx, call, HUB, event).seq


@handles(LIST)
def list_agents(tx: Tx, call: Call, request: ListAgents) -> AgentPage:
    rows = tx.rows(
        "select id, name, kind, owner, title, labels, created_at, retired_at from agent"
        " where retired_at is null or :all = 1 order by id",
        all=int(request.retired),
    )
    return AgentPage(items=tuple(view(tx, agent_row(row)) for row in rows))


@handles(ME)
def get_me(tx: Tx, call: Call, request: GetMe) -> Agent:
    me = view(tx, load_agent(tx, call.agent))
    return me.model_copy(update={"scopes": tuple(sorted(call.principal.scopes))})


@handles(RETIRE)
def retire_agent(tx: Tx, call: Call, request: RetireAgent) -> Done:
    row = need_agent(tx, request.agent)
    if row.id == call.agent:
        raise Forbidden("an agent cannot retire itself; use another token with hub:admin")
    append(tx, call, HUB, AgentRetired(agent=row.id, name=row.name))
    return Done()


@handles(ISSUE)
def issue_token(tx: Tx, call: Call, request: IssueToken) -> TokenIssuedOnce:
    return issue(tx, call, need_agent(tx, request.agent).id, request.scopes, request.expires_in_s)


@handles(TOKENS)
def list_tokens(tx: Tx, call: Call, request: ListTokens) -> TokenPage:
    agent = need_agent(tx, request.agent)
    rows = tx.rows(
        "select id, scopes, created_at, expires_at, revoked_at from token where agent = :agent order by id",
        agent=agent.id,
    )
    return TokenPage(
        items=tuple(
            TokenInfo(
                token_id=base32(row[0]),
                agent=agent.name,
                scopes=tuple(row[1].split()),
                created_at=rfc3339(row[2]),
                expires_at=rfc3339(row[3]),
                revoked_at=optional_rfc3339(row[4]),
            )
            for row in rows
        )
    )


@handles(ROTATE)
def rotate_token(tx: Tx, call: Call, request: RotateToken) -> TokenIssuedOnce:
    token, agent, scopes = _own_token(tx, call, request.token_id)
    append(tx, call, HUB, TokenRotated(token_id=token, until_ms=call.now_ms + OVERLAP_MS))
    return issue(tx, call, agent, tuple(scopes), None)


@handles(REVOKE)
def revoke_token(tx: Tx, call: Call, request: RevokeToken) -> Done:
    token, _agent, _scopes = _own_token(tx, call, request.token_id)
    append(tx, call, HUB, TokenRevoked(token_id=token))
    return Done()


def _own_token(tx: Tx, call: Call, token_id: str) -> tuple[str, int, frozenset[str]]:
    """A living token of the caller, or anybody's for an administrator."""
    row = (
        load_token(tx, from_base32(token_id), token_id)
        if set(token_id) <= set("0123456789abcdefghjkmnpqrstvwxyz")
        else None
    )
    mine = row is not None and row.principal.agent == call.agent
    if row is None or not (mine or "hub:admin" in call.principal.scopes):
        raise TokenNotFound(f"token {token_id!r} not found; list them with tokens.list")
    if row.revoked_at is not None:
        raise TokenNotFound(f"token {token_id!r} was revoked; issue a new one")
    return token_id, row.principal.agent, row.principal.scopes


def view(tx: Tx, row: AgentRow) -> Agent:
    return Agent(
        name=row.name,
        kind=row.kind,
        owner=agent_name(tx, row.owner),
        title=row.title,
        labels=row.labels,
        generation=row.id,
        created_at=rfc3339(row.created_at),
        retired_at=optional_rfc3339(row.retired_at),
    )


def bootstrap(tx: Tx, call: Call, name: str, kind: Kind = "human") -> str:
    """Make sure the local user's agent exists and issue it a token with all scopes; the token's text."""
    agent = find_agent(tx, name)
    if agent is None:
        agent = append(tx, call, HUB, AgentRegistered(name=name, kind=kind, owner=0, title="", labels=()), actor=0).seq
    token = issue(tx, call, agent, tuple(ALL_SCOPES), 366 * 86400).token
    assert token is not None
    return token
