"""Agents and tokens: operations, results, events."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from hub.core.access import Kind, Scope
from hub.core.event import EventBody
from hub.core.model import Model
from hub.core.names import AgentName, DisplayName, NewName
from hub.core.operation import AnyOperation, Done, Operation, Request, Result

Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._:/-]{0,63}$")]
TokenId = Annotated[str, Field(pattern=r"^[0-9a-z]{1,13}$")]


class Agent(Result):
    """An identity that can act. `owner` is the person it belongs to."""

    name: str
    kind: str
    owner: str
    title: str = ""
    labels: tuple[str, ...] = ()
    scopes: tuple[str, ...] = Field(default=(), description="Only in your own record: what your token may do.")
    generation: int = Field(description="Number of this registration; a re-registered name has another one.")
    created_at: str
    retired_at: str | None = None


class AgentPage(Result):
    items: tuple[Agent, ...]
    cursor: str = ""
    has_more: bool = False


class RegisterAgent(Request["AgentCreated"]):
    """Register an agent and get its first token, shown this once."""

    name: NewName
    kind: Kind = "script"
    title: DisplayName = ""
    labels: tuple[Label, ...] = Field(default=(), max_length=32)
    scopes: tuple[Scope, ...] | None = Field(
        default=None, description="Default: everything a worker needs, nothing administrative."
    )
    expires_in_s: int | None = Field(default=None, ge=60, le=366 * 86400, description="Default 90 days.")


class AgentCreated(Result):
    shown_once: ClassVar[str] = "token"
    agent: Agent
    token: str | None = Field(description="Shown this once; null when the call is a repeat.")
    token_id: str


class EnterAgent(Request["AgentEntered"]):
    """Get a token for the agent with this identity, registering it when it is new.

    A name that another identity uses becomes NAME-2, NAME-3 …
    """

    identity: str = Field(pattern=r"^[0-9a-f]{8,64}$", description="Digest of client, session and project.")
    name: NewName
    kind: Kind = "code"
    title: DisplayName = ""
    labels: tuple[Label, ...] = Field(default=(), max_length=31)


class AgentEntered(Result):
    shown_once: ClassVar[str] = "token"
    agent: str
    renamed: bool = Field(default=False, description="The wanted name was taken.")
    token: str | None = Field(description="Shown this once; null when the call is a repeat.")
    token_id: str


class ListAgents(Request[AgentPage]):
    """All agents that are not retired."""

    retired: bool = Field(default=False, description="Include retired ones.")


class GetMe(Request[Agent]):
    """Who this token is."""


class RetireAgent(Request[Done]):
    """Retire an agent: its tokens end, its name becomes free, its history stays."""

    agent: AgentName


class IssueToken(Request["TokenIssuedOnce"]):
    """Another token for an agent, shown this once."""

    agent: AgentName
    scopes: tuple[Scope, ...] | None = None
    expires_in_s: int | None = Field(default=None, ge=60, le=366 * 86400)


class TokenIssuedOnce(Result):
    shown_once: ClassVar[str] = "token"
    token_id: str
    token: str | None = Field(description="Shown this once; null when the call is a repeat.")
    agent: str
    scopes: tuple[str, ...]
    expires_at: str


class RotateToken(Request[TokenIssuedOnce]):
    """A new token for the same agent and scopes; the old one works for 24 more hours."""

    token_id: TokenId


class RevokeToken(Request[Done]):
    """End a token now; its open streams close within two seconds."""

    token_id: TokenId


class TokenInfo(Model):
    token_id: str
    agent: str
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str
    revoked_at: str | None


class TokenPage(Result):
    items: tuple[TokenInfo, ...]
    cursor: str = ""
    has_more: bool = False


class ListTokens(Request[TokenPage]):
    """Tokens of an agent, without their secrets."""

    agent: AgentName


REGISTER = Operation("agents.register", "POST /v1/agents", "hub:admin", RegisterAgent, AgentCreated, 201, "hub")
ENTER = Operation("agents.enter", "POST /v1/agents/enter", "hub:admin", EnterAgent, AgentEntered, 200, "hub")
LIST = Operation("agents.list", "GET /v1/agents", "room:read", ListAgents, AgentPage)
ME = Operation("agents.me", "GET /v1/agents/me", "room:read", GetMe, Agent)
RETIRE = Operation("agents.retire", "DELETE /v1/agents/{agent}", "hub:admin", RetireAgent, Done, 200, "hub")
ISSUE = Operation(
    "tokens.issue", "POST /v1/agents/{agent}/tokens", "hub:admin", IssueToken, TokenIssuedOnce, 201, "hub"
)
TOKENS = Operation("tokens.list", "GET /v1/agents/{agent}/tokens", "hub:admin", ListTokens, TokenPage)
ROTATE = Operation(
    "tokens.rotate", "POST /v1/tokens/{token_id}/rotate", "room:read", RotateToken, TokenIssuedOnce, 201, "hub"
)
REVOKE = Operation("tokens.revoke", "DELETE /v1/tokens/{token_id}", "room:read", RevokeToken, Done, 200, "hub")

OPERATIONS: list[AnyOperation] = [ME, REGISTER, ENTER, LIST, RETIRE, ISSUE, TOKENS, ROTATE, REVOKE]


class AgentRegistered(EventBody):
    """The agent's id is the number of this event."""

    type: ClassVar[str] = "agent.registered"
    name: str
    kind: str
    owner: int = Field(description="Agent id of the person; 0 means itself.")
    title: str = ""
    labels: tuple[str, ...] = ()


class AgentRetired(EventBody):
    type: ClassVar[str] = "agent.retired"
    agent: int
    name: str


class TokenIssued(EventBody):
    """The token's id is the base32 of this event's number; only the hash of its secret is kept."""

    type: ClassVar[str] = "token.issued"
    agent: int
    hash: str
    scopes: tuple[str, ...]
    expires_at_ms: int


class TokenRotated(EventBody):
    type: ClassVar[str] = "token.rotated"
    token_id: str
    until_ms: int


class TokenRevoked(EventBody):
    type: ClassVar[str] = "token.revoked"
    token_id: str
