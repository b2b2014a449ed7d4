"""The MCP tasks extension (SEP-2663, 2026-07-28) for tools that wait.

The waiting call answers with a handle at once, so the session stays free; when the result is there an idle
interactive session takes a turn by itself. Handles live in the hub's store and belong to their caller: after a hub
restart the next `tasks/get` starts the waiting again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CallToolResult,
    RequestParams,
    TextContent,
)
from pydantic import ValidationError

from hub.core.errors import HubError
from hub.features.waits.contract import CreateWait, FinishWait, GetWait, Wait
from mcp_bridge.desk import Desk
from mcp_bridge.toolbox import TOOLS, ToolSpec

if TYPE_CHECKING:
    from mcp_bridge.server import BridgeServer

IDENTIFIER: Final = "io.modelcontextprotocol/tasks"
MODERN: Final = frozenset({"2026-07-28"})
POLL_MS: Final = 1000
TTL_S: Final = 3600
log = logging.getLogger(__name__)


class TaskParams(RequestParams):
    """Parameters of tasks/get and tasks/cancel."""

    task_id: str


class TasksExtension(Extension):
    """Answers waiting tool calls of clients that declared the extension with a task."""

    identifier = IDENTIFIER

    def __init__(self, server: BridgeServer) -> None:
        self._server = server
        self._running: dict[str, asyncio.Task[None]] = {}
        self._jobs: dict[str, Desk] = {}  # desks of waiting calls: each tasks/get says anew what is on its way

    def methods(self) -> Sequence[MethodBinding]:
        return (
            MethodBinding("tasks/get", TaskParams, self._get, MODERN),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, MODERN),
            MethodBinding("tasks/update", TaskParams, self._update, MODERN),
        )

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        spec = TOOLS.get(params.name)
        arguments = dict(params.arguments or {})
        wanted = spec is not None and _waits(spec, arguments)
        if not wanted or not _declared(ctx):
            return await call_next(ctx)
        desk = await self._desk(ctx)
        wait = await desk.caller.call(
            CreateWait(reader=desk.key, tool=params.name, arguments=arguments, ttl_s=TTL_S),
            key=f"{desk.key}/wait"[:128],
        )
        desk.reader.pending.pop(desk.key, None)
        self._start(wait, desk)
        return {"resultType": "task", **_task(wait)}

    async def _desk(self, ctx: ServerRequestContext[Any, Any]) -> Desk:
        headers = dict(getattr(ctx.request, "headers", None) or {})
        return await self._server.desk_for(headers, dict(ctx.meta or {}))

    def _start(self, wait: Wait, desk: Desk) -> None:
        """Run the waiting call beside the request, once; tell it what is on its way by a push."""
        if wait.wait in self._running:
            self._jobs[wait.wait].coming = desk.coming
            return
        job = Desk(desk.caller, desk.name, desk.reader, wait.reader, wake="concerned", background=True)
        job.coming = desk.coming
        task = asyncio.create_task(self._run(wait, job))
        self._running[wait.wait], self._jobs[wait.wait] = task, job
        task.add_done_callback(lambda _done: self._end(wait.wait))

    def _end(self, wait: str) -> None:
        del self._running[wait], self._jobs[wait]

    async def _run(self, wait: Wait, desk: Desk) -> None:
        try:
            result = await self._server.perform(TOOLS[wait.tool], desk, wait.arguments)
        except ToolError as error:
            result = CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)
        except HubError as error:
            log.warning("a waiting call ended early: %s", error.detail)
            return  # the hub stops or failed; the next tasks/get starts it again
        except Exception as error:  # a protocol error, or a fault of ours: the client must not wait for ever
            await self._fail(wait, desk, error)
            return
        plain = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            await desk.caller.call(FinishWait(wait=wait.wait, status="completed", result=plain))
        except HubError as error:
            log.warning("a result could not be kept: %s", error.detail)

    async def _fail(self, wait: Wait, desk: Desk, error: Exception) -> None:
        if isinstance(error, MCPError):
            told = {"code": error.error.code, "message": error.error.message}
        else:
            log.error("a waiting call of %s failed", wait.tool, exc_info=error)
            told = {"code": INTERNAL_ERROR, "message": f"{wait.tool} failed; call it again"}
        with suppress(HubError):
            await desk.caller.call(FinishWait(wait=wait.wait, status="failed", result=told))

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        desk, wait = await self._find(ctx, params)
        if wait.status == "working":
            self._start(wait, desk)
        made: dict[str, Any] = {"resultType": "complete", **_task(wait)}
        if wait.status == "completed":
            made["result"] = wait.result
        elif wait.status == "failed":
            made["error"] = wait.result
        return made

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        desk, wait = await self._find(ctx, params)
        if (running := self._running.get(wait.wait)) is not None:
            running.cancel()
        await desk.caller.call(FinishWait(wait=wait.wait, status="cancelled"))
        return {"resultType": "complete"}

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        """Our tasks never ask for input; known ones accept and ignore it."""
        await self._find(ctx, params)
        return {"resultType": "complete"}

    async def _find(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> tuple[Desk, Wait]:
        _check(ctx, params.task_id)
        desk = await self._desk(ctx)
        try:
            return desk, await desk.caller.call(GetWait(wait=params.task_id))
        except HubError as error:
            raise MCPError(code=INVALID_PARAMS, message=error.detail) from error


def _waits(spec: ToolSpec, arguments: dict[str, Any]) -> bool:
    """Whether this call would wait. Wrong arguments do not: they are refused at once, not by a task."""
    if not spec.waits:
        return False
    try:
        args = spec.args.model_validate(arguments)
    except ValidationError:
        return False
    return bool(getattr(args, "wait_s", 1) > 0)


def _declared(ctx: ServerRequestContext[Any, Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    extensions = capabilities.extensions if capabilities is not None else None
    return ctx.protocol_version in MODERN and bool(extensions) and IDENTIFIER in (extensions or {})


def _check(ctx: ServerRequestContext[Any, Any], task: str) -> None:
    """Refuse what SEP-2663 refuses: clients that did not declare the extension, a routing header of another task."""
    if not _declared(ctx):
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message=f"declare the extension {IDENTIFIER} in your capabilities to use its methods",
            data={"requiredCapabilities": {"extensions": {IDENTIFIER: {}}}},
        )
    named = (getattr(ctx.request, "headers", None) or {}).get("mcp-name")
    if named is not None and named != task:
        raise MCPError(code=HEADER_MISMATCH, message="the mcp-name header is not the body's taskId")


def _task(wait: Wait) -> dict[str, Any]:
    return {
        "taskId": wait.wait,
        "status": wait.status,
        "createdAt": wait.created_at,
        "lastUpdatedAt": wait.updated_at,
        "ttlMs": wait.expires_in_s * 1000,
        "pollIntervalMs": POLL_MS,
    }
