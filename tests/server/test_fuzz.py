"""Every operation under generated requests: nothing gives a server error, and every answer is as /openapi.json says.

The requests go to a real hub in a process of its own. Names and ids in paths are ones that exist, so that requests get
past "not found"; nothing waits.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hub.features import load_registry
from tests.faults.world import World

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = {
    op.name: op
    for op in load_registry().all
    if op.name not in {"agents.retire", "tokens.revoke", "tokens.rotate", "rooms.archive", "rooms.leave"}
}
LONGEST_IN_A_URL = 4000  # the HTTP parser answers longer ones itself


class Api:
    """A hub with one of each thing, and its own description of what can be asked."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.session = requests.Session()
        self.session.headers["authorization"] = f"Bearer {world.token}"
        self.ids: dict[str, str] = {"room": "fuzz", "queue": "work", "channel": "plans", "agent": "ada", "emoji": "👍"}

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        answer = self.session.post(self.world.url + path, json=fields, timeout=10)
        assert answer.ok, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def furnish(self) -> None:
        self.post("/v1/rooms", room="fuzz")
        self.post("/v1/agents", name="ada")
        self.post("/v1/rooms/fuzz/invites", agent="ada")
        self.post("/v1/rooms/fuzz/channels", channel="plans")
        self.post("/v1/queues", queue="work")
        self.ids["message"] = self.post("/v1/rooms/fuzz/messages", text="hello")["id"]
        self.ids["question"] = self.post("/v1/rooms/fuzz/messages", text="why?", kind="question")["id"]
        self.ids["task"] = self.post("/v1/queues/work/tasks", body=1)["id"]
        self.ids["proposal"] = self.post(
            "/v1/rooms/fuzz/proposals", title="Which?", options=["a", "b"], rule={"mode": "plurality"}
        )["id"]
        self.ids["file"] = self.post("/v1/rooms/fuzz/files", name="a.txt", content="hello")["id"]
        self.ids["card"] = self.post("/v1/rooms/fuzz/cards", title="Do it")["id"]

    def description(self) -> dict[str, Any]:
        """/openapi.json with what exists in paths, no waiting."""
        found: dict[str, Any] = self.session.get(self.world.url + "/openapi.json", timeout=10).json()
        for path, methods in list(found["paths"].items()):
            found["paths"][path] = {m: self._narrowed(op) for m, op in methods.items()}
        return found

    def _narrowed(self, operation: dict[str, Any]) -> dict[str, Any]:
        made = copy.deepcopy(operation)
        for parameter in made["parameters"]:
            if parameter["in"] == "path" and parameter["name"] in self.ids:
                parameter["schema"] = {"type": "string", "const": self.ids[parameter["name"]]}
            elif parameter["name"] == "wait_s":
                parameter["schema"] = {"type": "integer", "const": 0}
            elif parameter["schema"].get("type") == "string":
                parameter["schema"].setdefault("maxLength", LONGEST_IN_A_URL)
        fields = made.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if "wait_s" in fields.get("properties", {}):
            fields["properties"]["wait_s"] = {"type": "integer", "const": 0}
        return made


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    world = World(tmp_path_factory.mktemp("fuzz"))
    world.start()
    try:
        api = Api(world)
        api.furnish()
        yield api
    finally:
        world.end()


def fuzz(api: Api, name: str, examples: int) -> None:
    """Generated requests to one operation. Raises with a curl line that shows the first wrong answer."""
    operation = OPERATIONS[name]
    described = schemathesis.openapi.from_dict(api.description())[operation.path][operation.method]

    @given(case=described.as_strategy())
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def each(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=api.world.url, session=api.session, checks=CHECKS)

    each()


BYTES = {"files.content": "content", "files.thumbnail": "thumbnail"}


@pytest.mark.parametrize("name", sorted(BYTES))
def test_no_request_for_bytes_gives_a_server_error(furnished: Api, name: str) -> None:
    path = f"/v1/rooms/{{room}}/files/{{file}}/{BYTES[name]}"
    described = schemathesis.openapi.from_dict(furnished.description())[path]["GET"]

    @given(case=described.as_strategy())
    @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def each(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=furnished.world.url, session=furnished.session, checks=[not_a_server_error])

    each()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_no_request_gives_a_server_error_or_an_undocumented_answer(furnished: Api, name: str) -> None:
    fuzz(furnished, name, 8)


@pytest.mark.faults
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_many_requests_give_no_server_error(furnished: Api, name: str) -> None:
    fuzz(furnished, name, 300)
