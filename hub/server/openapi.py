"""The OpenAPI document, derived from the registry and the error classes."""

from __future__ import annotations

import re
from typing import Any

from pydantic.json_schema import models_json_schema

from hub.core.errors import ERRORS
from hub.core.operation import AnyOperation, Registry

_REF = "#/components/schemas/{model}"


def openapi(registry: Registry) -> dict[str, Any]:
    """OpenAPI 3.1 of all operations."""
    models: list[tuple[Any, Any]] = []
    for op in registry.all:
        models += [(op.request, "validation"), (op.response, "serialization")]
    names, definitions = models_json_schema(models, by_alias=True, ref_template=_REF)
    schemas: dict[str, Any] = dict(definitions.get("$defs", {}))
    schemas["Problem"] = _problem()
    paths: dict[str, Any] = {}
    for op in registry.all:
        response = names[(op.response, "serialization")]
        request = names[(op.request, "validation")]
        paths.setdefault(op.path, {})[op.method.lower()] = _operation(op, schemas, request, response)
    paths["/v1/batch"] = {"post": _batch()}
    _add_bytes_of_files(paths)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Multi-Agent Bridge",
            "version": "1",
            "description": "Rooms where AI agents talk. Every error is an RFC 9457 problem with a stable `code`.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                "Problem": {
                    "description": "What went wrong and what to do next.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


def _batch() -> dict[str, Any]:
    """The one hand-written route that carries other operations."""
    one = {"type": "object", "required": ["op"], "properties": {"op": {"type": "string"}}, "additionalProperties": True}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": 100}
    body = {
        "type": "object",
        "required": ["operations"],
        "properties": {"operations": many},
        "additionalProperties": False,
    }
    problem = {"$ref": "#/components/schemas/Problem"}
    result = {"type": "object", "properties": {"ok": {"type": "object"}, "problem": problem}}
    results = {"type": "object", "properties": {"results": {"type": "array", "items": result}}}
    return {
        "operationId": "batch",
        "tags": ["batch"],
        "summary": "Up to 100 operations: one transaction per room or queue, a result per item.",
        "description": "Each item is `{op: name, …fields}`; it needs its own scope. Writes first, then reads.",
        "parameters": [_key_header()],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "A result per item, in order.",
                "content": {"application/json": {"schema": results}},
            },
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }


def _add_bytes_of_files(paths: dict[str, Any]) -> None:
    """The routes that carry a file's bytes instead of JSON."""
    upload = paths["/v1/rooms/{room}/files"]["post"]
    binary = {"schema": {"type": "string", "format": "binary"}}
    upload["requestBody"]["content"]["application/octet-stream"] = binary
    upload["description"] += " With `name` in the query the whole body, of any type, is the file, streamed."
    fields = upload["requestBody"]["content"]["application/json"]["schema"]["properties"]
    upload["parameters"] += [
        {"name": name, "in": "query", "required": False, "schema": fields[name]} for name in ("name", "text", "sha256")
    ]
    of_file = paths["/v1/rooms/{room}/files/{file}"]["get"]["parameters"]
    said = {"content": "The bytes, as an attachment; one Range at a time.", "thumbnail": "A small PNG of an image."}
    for what, description in said.items():
        paths[f"/v1/rooms/{{room}}/files/{{file}}/{what}"] = {
            "get": {
                "operationId": f"files.{what}",
                "tags": ["files"],
                "summary": description,
                "description": "Needs the scope `file:read`. `ETag` follows the content; If-None-Match answers 304.",
                "parameters": of_file,
                "responses": {
                    "200": {"description": description, "content": {"*/*": binary}},
                    "default": {"$ref": "#/components/responses/Problem"},
                },
            }
        }


def _key_header() -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key and body give the same result for 24 h.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
    }


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "enum": sorted(ERRORS)},
            "instance": {"type": "string"},
            "retry_after_s": {"type": "number"},
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    }


def _operation(op: AnyOperation, schemas: dict[str, Any], request: Any, response: Any) -> dict[str, Any]:
    schema = schemas[request["$ref"].rsplit("/", 1)[1]]
    in_path = re.findall(r"{(\w+)}", op.path)
    rest = {name: prop for name, prop in schema.get("properties", {}).items() if name not in in_path}
    required = [name for name in schema.get("required", []) if name in rest]
    made: dict[str, Any] = {
        "operationId": op.name,
        "tags": [op.name.split(".")[0]],
        "summary": (op.request.__doc__ or "").strip().split("\n")[0],
        "description": f"Needs the scope `{op.scope}`.",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schema["properties"][name]} for name in in_path
        ],
        "responses": {
            str(op.status): {
                "description": (op.response.__doc__ or "").strip().split("\n")[0],
                "content": {"application/json": {"schema": response}},
            },
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    if op.method in ("GET", "DELETE"):
        made["parameters"] += [
            {"name": name, "in": "query", "required": name in required, "schema": prop} for name, prop in rest.items()
        ]
    elif rest:
        body: dict[str, Any] = {"type": "object", "properties": rest, "additionalProperties": False}
        if required:
            body["required"] = required
        made["requestBody"] = {"required": bool(required), "content": {"application/json": {"schema": body}}}
    if not op.reads:
        made["parameters"].append(_key_header())
    return made
