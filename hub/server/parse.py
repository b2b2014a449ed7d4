"""From fields to a typed request, with short errors that name the field and what is valid."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from hub.core.errors import Invalid, SenderMismatch, nearest

Q = TypeVar("Q")
_SENDER_FIELDS = {"from", "sender", "from_kind", "agent_id"}


def build(request: type[Q], fields: dict[str, Any]) -> Q:
    """An instance of a request class. Raises Invalid with one pointer per wrong field."""
    try:
        return request.__pydantic_validator__.validate_python(fields)  # type: ignore[attr-defined, no-any-return]
    except ValidationError as error:
        raise explain(error, request) from None


def explain(error: ValidationError, request: type[Any]) -> Invalid | SenderMismatch:
    """One short sentence per wrong field; the whole list in `errors`."""
    known = list(request.model_fields)
    items = [_item(dict(entry), known) for entry in error.errors(include_url=False, include_context=True)]
    if any(item["pointer"].lstrip("/") in _SENDER_FIELDS for item in items):
        return SenderMismatch("the sender comes from your token; leave 'from' out")
    detail = "; ".join(item["message"] for item in items[:3])
    return Invalid(detail, errors=items[:20])


def _item(entry: dict[str, Any], known: list[str]) -> dict[str, str]:
    where = [str(part) for part in entry["loc"]]
    pointer = "/" + "/".join(part.replace("~", "~0").replace("/", "~1")[:200] for part in where)
    name = ".".join(where)[:200] or "request"
    if entry["type"] == "extra_forbidden":
        close = nearest(where[-1], known)
        hint = f"did you mean '{close[0]}'?" if close else f"fields: {', '.join(known) or 'none'}"
        return {"pointer": pointer, "message": f"unknown field '{name}'; {hint}"}
    if entry["type"] == "missing":
        return {"pointer": pointer, "message": f"'{name}' is missing"}
    text = entry["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    lead = "must be " if entry["msg"].startswith("Input should be ") else ""
    return {"pointer": pointer, "message": f"'{name}' {lead}{text[:300]}" if lead else f"'{name}': {text[:300]}"}
