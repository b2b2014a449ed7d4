"""Every error a caller can meet: a class with a stable code, a status, and a message that says what to do next.

Features add their own subclasses in their `rules.py`/`contract.py`; the code of a class never changes. Surfaces
translate a `HubError` once: HTTP to RFC 9457 problem+json, MCP to a tool error, the command line to an exit code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

ERRORS: dict[str, type[HubError]] = {}


class HubError(Exception):
    """Base of all errors a caller can meet. `detail` says what to do next."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "Error"

    def __init__(self, detail: str, *, retry_after_s: float | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra

    def __init_subclass__(cls, **kw: Any) -> None:
        super().__init_subclass__(**kw)
        if "code" in cls.__dict__:
            other = ERRORS.setdefault(cls.code, cls)
            if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise RuntimeError(f"error code {cls.code!r} is used by {other.__name__} and {cls.__name__}")

    def problem(self, instance: str = "") -> dict[str, Any]:
        """The RFC 9457 body."""
        body: dict[str, Any] = {
            "type": f"urn:multi-agent-bridge:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if instance:
            body["instance"] = instance
        if self.retry_after_s is not None:
            body["retry_after_s"] = self.retry_after_s
        return body | self.extra


class Invalid(HubError):
    """A well-formed request whose fields are wrong. `errors` lists `{pointer, message}`."""

    code, status, title = "invalid", 422, "Invalid request"

    def __init__(self, detail: str, *, errors: Sequence[dict[str, str]] = (), **extra: Any) -> None:
        super().__init__(detail, **extra)
        if errors:
            self.extra = self.extra | {"errors": list(errors)}


class Malformed(HubError):
    code, status, title = "malformed", 400, "Malformed request"


class Unauthorized(HubError):
    code, status, title = "unauthorized", 401, "Not signed in"


class Forbidden(HubError):
    code, status, title = "forbidden", 403, "Not allowed"


class NotFound(HubError):
    code, status, title = "not-found", 404, "Not found"


class MethodNotAllowed(HubError):
    code, status, title = "method-not-allowed", 405, "Method not allowed"


class RoomNotFound(NotFound):
    code, title = "room-not-found", "Room not found"


class ChannelNotFound(NotFound):
    code, title = "channel-not-found", "Channel not found"


class MessageNotFound(NotFound):
    code, title = "message-not-found", "Message not found"


class AgentNotFound(NotFound):
    code, title = "agent-not-found", "Agent not found"


class TokenNotFound(NotFound):
    code, title = "token-not-found", "Token not found"


class OperationNotFound(NotFound):
    code, title = "operation-not-found", "Operation not found"


class Conflict(HubError):
    code, status, title = "conflict", 409, "Conflict"


class NameTaken(Conflict):
    code, title = "name-taken", "Name is taken"


class RoomArchived(Conflict):
    code, title = "room-archived", "Room is archived"


class DirectRoom(Conflict):
    code, title = "direct-room", "Not possible in a direct conversation"


class StillRunning(Conflict):
    code, title = "still-running", "The same call is still running"


class CursorAhead(HubError):
    code, status, title = "cursor-ahead", 400, "Cursor is ahead of the room"


class CursorInvalid(HubError):
    code, status, title = "cursor-invalid", 400, "Not a cursor"


class KeyReused(HubError):
    code, status, title = "idempotency-key-reused", 422, "Idempotency key was used for another request"


class NotMembers(HubError):
    code, status, title = "recipients-not-members", 422, "Some recipients are not in the room"


class SenderMismatch(HubError):
    code, status, title = "sender-mismatch", 422, "The sender comes from the token"


class TooLarge(HubError):
    code, status, title = "too-large", 413, "Too large"


class UnsupportedMediaType(HubError):
    code, status, title = "unsupported-media-type", 415, "Unsupported media type"


class MisdirectedHost(HubError):
    code, status, title = "host-not-allowed", 421, "Host not allowed"


class OriginNotAllowed(Forbidden):
    code, title = "origin-not-allowed", "Origin not allowed"


class RateLimited(HubError):
    code, status, title = "rate-limited", 429, "Too many requests"


class LoopGuard(RateLimited):
    code, title = "loop-guard", "Paused by the loop guard"


class Unavailable(HubError):
    """The outcome is unknown: retry with the same idempotency key."""

    code, status, title = "unavailable", 503, "Not available; outcome unknown"


class ReadOnly(Unavailable):
    code, title = "read-only", "The hub cannot write now"


class StorageFull(HubError):
    code, status, title = "storage-full", 507, "Storage is full"


class InternalError(HubError):
    """A bug of ours. The outcome is unknown."""

    code, status, title = "internal", 500, "Internal error"


class HubUnreachable(HubError):
    """Raised by clients: the hub did not answer, so nothing is confirmed."""

    code, status, title = "hub-unreachable", 503, "The hub cannot be reached"


def nearest(wanted: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """Names closest to a mistyped one, best first."""
    return get_close_matches(wanted, list(known), n=most, cutoff=0.5)


def listing(names: Iterable[str], *, most: int = 10, none: str = "none") -> str:
    """`a, b, c` for a message; long lists are cut with a count."""
    all_names = list(names)
    if not all_names:
        return none
    more = len(all_names) - most
    return ", ".join(all_names[:most]) + (f" and {more} more" if more > 0 else "")
