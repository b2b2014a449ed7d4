"""The registry stays honest: one handler per operation, a docstring each, layers intact."""

from __future__ import annotations

from hub import features
from hub.core.event import EVENT_TYPES
from hub.log.handler import ANSWERERS, HANDLERS
from hub.log.log import PROJECTIONS

REGISTRY = features.load_registry()


def test_every_operation_has_exactly_one_handler() -> None:
    bound = [*HANDLERS, *ANSWERERS]
    assert [op.name for op in REGISTRY.all if bound.count(op.request) != 1] == []
    assert {op.request for op in REGISTRY.all} == set(bound), "a handler without an operation"


def test_every_operation_says_what_it_does() -> None:
    assert [op.name for op in REGISTRY.all if not (op.request.__doc__ or "").strip()] == []


def test_every_event_type_has_a_projection_or_is_a_notice() -> None:
    silent = [
        name
        for name, body in EVENT_TYPES.items()
        if body not in PROJECTIONS and "concerns" not in body.__dict__ and not name.startswith("test.")
    ]
    assert silent == []


def test_every_operation_is_reachable_from_a_tool_or_says_why_not() -> None:
    from mcp_bridge.coverage import NOT_FOR_AGENTS, TOOLS

    names = set(REGISTRY.by_name)
    assert names - set(TOOLS) - set(NOT_FOR_AGENTS) == set(), "add these to mcp_bridge/coverage.py"
    assert (set(TOOLS) | set(NOT_FOR_AGENTS)) - names == set(), "these operations do not exist"
    assert set(TOOLS) & set(NOT_FOR_AGENTS) == set()
