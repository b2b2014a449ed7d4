"""Resources of rooms and the inbox, with change notifications for both protocol eras."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import orjson
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp_types import Resource

from hub.core.caller import Caller
from hub.core.errors import HubError, NotFound
from hub.core.operation import Request, Result
from hub.features.discussion.contract import ListDecisions
from hub.features.files.contract import MOST_READ_BYTES, FilePart, ListFiles, ReadFile
from hub.features.github.contract import ListOpenings
from hub.features.kanban.contract import GetBoard
from hub.features.messages.contract import GetMessage
from hub.features.queues.contract import GetQueue, ListWorkers
from hub.features.reservations.contract import ListReservations
from hub.features.voting.contract import ListProposals
from hub.kernel.inbox.contract import Inbox, ReadEvents, ReadInbox
from hub.kernel.rooms.contract import GetRoom, ListRooms
from mcp_bridge.desk import PAGE_BYTES, brief

if TYPE_CHECKING:
    from mcp_bridge.server import BridgeServer

JSON: Final = "application/json"
INBOX: Final = "inbox://me"
MOST_RESOURCE_BYTES: Final = 4 * 1024 * 1024


async def ask_hub(caller: Caller, request: Request[Any]) -> Any:
    """The result of a reading operation; refusals become resource errors."""
    try:
        return await caller.call(request)
    except NotFound as error:
        raise ResourceNotFoundError(error.detail) from error
    except HubError as error:
        raise ResourceError(error.detail) from error


async def list_mine(caller: Caller) -> list[Resource]:
    """The inbox and the caller's rooms."""
    rooms = (await caller.call(ListRooms())).items
    mine = [Resource(uri=INBOX, name="inbox", title="My inbox", mime_type=JSON)]
    return mine + [
        Resource(uri=f"room://{r.room}", name=r.room, title=r.topic or r.room, mime_type=JSON) for r in rooms
    ]


async def read_inbox(caller: Caller) -> str:
    """What is new, as JSON; reading acknowledges nothing."""
    page: Inbox = await ask_hub(caller, ReadInbox(max_bytes=PAGE_BYTES))
    items = [brief(message) for message in page.messages]
    return orjson.dumps({"messages": items, "cursor": page.cursor, "unread": page.unread}).decode()


def add_resources(server: BridgeServer) -> None:
    """Register the resources of rooms and the inbox."""

    async def answer(context: Context[Any, Any], request: Request[Any]) -> Result:
        result: Result = await ask_hub((await server.desk(context)).caller, request)
        return result

    @server.resource("room://{room}", mime_type=JSON, title="A room")
    async def room_state(room: str, context: Context[Any, Any]) -> str:
        """Members, channels, settings, cursor."""
        return _json(await answer(context, GetRoom(room=room)))

    @server.resource("room://{room}/events{?cursor}", mime_type=JSON, title="A room's events")
    async def room_events(room: str, context: Context[Any, Any], cursor: str = "") -> str:
        """A page of events after a cursor, oldest first."""
        return _json(await answer(context, ReadEvents(room=room, cursor=cursor or None, limit=50)))

    @server.resource("room://{room}/board", mime_type=JSON, title="A room's board")
    async def room_board(room: str, context: Context[Any, Any]) -> str:
        """Columns and cards."""
        return _json(await answer(context, GetBoard(room=room)))

    _add_deciding(server, answer)
    _add_queues(server, answer)

    @server.resource("room://{room}/messages/{message}", mime_type=JSON, title="A message")
    async def room_message(room: str, message: str, context: Context[Any, Any]) -> str:
        """One message in full."""
        return _json(await answer(context, GetMessage(room=room, message=message)))

    @server.resource("room://{room}/files", mime_type=JSON, title="A room's files")
    async def room_files(room: str, context: Context[Any, Any]) -> str:
        """The newest version of each file."""
        return _json(await answer(context, ListFiles(room=room)))

    # A file's own type is in the link; here it can be anything.
    @server.resource("room://{room}/files/{file}", mime_type="application/octet-stream", title="A file")
    async def room_file(room: str, file: str, context: Context[Any, Any]) -> bytes:
        """The bytes of a file, by id or name."""
        return await file_bytes((await server.desk(context)).caller, room, file)


def _add_deciding(server: BridgeServer, answer: Callable[..., Awaitable[Result]]) -> None:
    """Register the resources of what a room decides and who holds which files."""

    @server.resource("room://{room}/proposals", mime_type=JSON, title="A room's proposals")
    async def room_proposals(room: str, context: Context[Any, Any]) -> str:
        """The open proposals with their ballots so far."""
        return _json(await answer(context, ListProposals(room=room, open=True)))

    @server.resource("room://{room}/decisions", mime_type=JSON, title="A room's decisions")
    async def room_decisions(room: str, context: Context[Any, Any]) -> str:
        """What was decided, when and by whom, newest first."""
        return _json(await answer(context, ListDecisions(room=room)))

    @server.resource("room://{room}/github", mime_type=JSON, title="What a room opened at GitHub")
    async def room_github(room: str, context: Context[Any, Any]) -> str:
        """Issues and pull requests asked for here, and what became of them."""
        return _json(await answer(context, ListOpenings(room=room)))

    @server.resource("room://{room}/reservations", mime_type=JSON, title="A room's reservations")
    async def room_reservations(room: str, context: Context[Any, Any]) -> str:
        """Which paths who holds now."""
        return _json(await answer(context, ListReservations(room=room)))


async def file_bytes(caller: Caller, room: str, file: str) -> bytes:
    """A whole file of at most 4 MiB; larger ones are for HTTP and the command line."""
    parts: list[bytes] = []
    offset: int | None = 0
    while offset is not None:
        part: FilePart = await ask_hub(
            caller, ReadFile(room=room, file=file, offset=offset, max_bytes=MOST_READ_BYTES, base64=True)
        )
        if part.file.size_bytes > MOST_RESOURCE_BYTES:
            raise ResourceError(
                f"{part.file.name!r} has {part.file.size_bytes:,} bytes, more than a resource can carry; "
                f"run `mcp-bridge files get {room} {part.file.id}`"
            )
        parts.append(b64decode(part.content_base64 or ""))
        file, offset = part.file.id, part.next_offset
    return b"".join(parts)


def _json(result: Result) -> str:
    return result.model_dump_json(by_alias=True)


def _add_queues(server: BridgeServer, answer: Callable[[Context[Any, Any], Request[Any]], Awaitable[Any]]) -> None:
    """Register the resource of a queue."""

    @server.resource("queue://{queue}", mime_type=JSON, title="A queue")
    async def queue_state(queue: str, context: Context[Any, Any]) -> str:
        """How much waits, who works, what died."""
        found = await answer(context, GetQueue(queue=queue))
        workers = await answer(context, ListWorkers(queue=queue))
        return orjson.dumps(
            {**found.model_dump(mode="json"), "workers": workers.model_dump(mode="json")["items"]}
        ).decode()
