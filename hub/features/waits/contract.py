"""Waits: made by the MCP server for its caller, kept in the store so that a restart loses none."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hub.core.operation import AnyOperation, Done, Operation, Request, Result

WaitStatus = Literal["working", "completed", "failed", "cancelled"]


class Wait(Result):
    """One waiting tool call of an agent."""

    wait: str
    reader: str
    tool: str
    arguments: dict[str, Any]
    status: WaitStatus
    created_at: str
    updated_at: str
    expires_in_s: int
    result: dict[str, Any] | None = None


class CreateWait(Request[Wait]):
    """Keep a waiting tool call."""

    reader: str = Field(max_length=200)
    tool: str = Field(max_length=64)
    arguments: dict[str, Any]
    ttl_s: int = Field(default=3600, ge=1, le=86400)


class GetWait(Request[Wait]):
    """A waiting call of yours and, when it is done, its result."""

    wait: str = Field(max_length=64)


class FinishWait(Request[Done]):
    """Store the outcome of a waiting call; the first outcome stays."""

    wait: str = Field(max_length=64)
    status: Literal["completed", "failed", "cancelled"]
    result: dict[str, Any] | None = None


CREATE = Operation("waits.create", "POST /v1/waits", "room:read", CreateWait, Wait, 201)
GET = Operation("waits.get", "GET /v1/waits/{wait}", "room:read", GetWait, Wait)
FINISH = Operation("waits.finish", "POST /v1/waits/{wait}/finish", "room:read", FinishWait, Done)
OPERATIONS: list[AnyOperation] = [CREATE, GET, FINISH]
