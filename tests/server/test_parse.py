"""Wrong fields are named with what would be right, however deep they are."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.core.errors import Invalid
from hub.features.voting.contract import OpenProposal
from hub.server.parse import build, fields_at


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Leaf(Strict):
    color: str = ""
    size: int = 0


class Other(Strict):
    weight: int = 0


class Tree(Strict):
    leaf: Leaf | None = None
    leaves: tuple[Annotated[Leaf, Field()], ...] = ()
    named: dict[str, Leaf] = {}
    either: Leaf | Other | None = None
    title: str = ""


def refusal(fields: dict[str, Any], model: type[Any] = Tree) -> str:
    with pytest.raises(Invalid) as refused:
        build(model, fields)
    return refused.value.detail


def test_an_unknown_nested_field_lists_the_nested_fields() -> None:
    detail = refusal({"room": "build", "title": "?", "rule": {"kind": "majority"}}, OpenProposal)
    assert detail.startswith("unknown field 'rule.kind'; fields: mode, ")
    assert "title" not in detail


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"leaf": {"shape": 1}}, "unknown field 'leaf.shape'; fields: color, size"),
        ({"leaf": {"colour": 1}}, "unknown field 'leaf.colour'; did you mean 'color'?"),
        ({"leaves": [{}, {"shape": 1}]}, "unknown field 'leaves.1.shape'; fields: color, size"),
        ({"named": {"a": {"shape": 1}}}, "unknown field 'named.a.shape'; fields: color, size"),
        ({"shape": 1}, "unknown field 'shape'; fields: leaf, leaves, named, either, title"),
    ],
    ids=["one", "misspelled", "in a list", "in a table", "outermost"],
)
def test_a_wrong_field_is_told_what_would_be_right_there(fields: dict[str, Any], told: str) -> None:
    assert refusal(fields) == told


def test_a_union_lists_the_fields_of_the_member_it_is() -> None:
    with pytest.raises(ValidationError) as failed:
        Tree.model_validate({"either": {"shape": 1}})
    places = [entry["loc"] for entry in failed.value.errors()]
    assert [fields_at(Tree, place[:-1]) for place in places] == [["color", "size"], ["weight"]]
