"""From fields to a typed request, with short errors that name the field and what is valid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

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
    items = [
        _item(dict(entry), fields_at(request, entry["loc"][:-1]))
        for entry in error.errors(include_url=False, include_context=True)
    ]
    if any(item["pointer"].lstrip("/") in _SENDER_FIELDS for item in items):
        return SenderMismatch("the sender comes from your token; leave 'from' out")
    detail = "; ".join(item["message"] for item in items[:3])
    return Invalid(detail, errors=items[:20])


def fields_at(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """Names of the fields that an object at this place of a request may have."""
    found = [model]
    for part in place:
        if isinstance(part, str):  # numbers are positions in a list
            inner = [one for outer in found if part in outer.model_fields for one in _models(outer, part)]
            found = inner or [one for one in found if one.__name__ == part] or found  # or which member of a union it is
    return list(dict.fromkeys(name for one in found for name in one.model_fields))


def _models(model: type[BaseModel], field: str) -> list[type[BaseModel]]:
    """The models that stand anywhere in the type of a field."""
    waiting, made = [model.model_fields[field].annotation], list[type[BaseModel]]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, type) and issubclass(one, BaseModel):
            made.append(one)
        else:
            waiting += [part for part in get_args(one) if part is not ...]
    return made


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
