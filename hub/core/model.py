"""The frozen pydantic base of every request, result and event body. Nothing else belongs here."""

from __future__ import annotations

from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

# What validation sets on a model, by its slots: `object.__setattr__` takes three times as long to find them.
_set_dict = BaseModel.__dict__["__dict__"].__set__
_set_names = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__


@cache
def _names_of(model: type[BaseModel]) -> set[str]:
    """Names of all fields. Shared by all values that are made without validation: nobody may change it."""
    return set(model.model_fields)


class Model(BaseModel):
    """An immutable value; unknown fields are an error, so a typo never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_bytes="base64")

    @classmethod
    def trusted(cls, **fields: Any) -> Self:
        """A value from fields that were validated before: every field must be given. For hot paths only."""
        made = cls.__new__(cls)
        _set_dict(made, fields)
        _set_names(made, _names_of(cls))
        _set_extra(made, None)
        _set_private(made, None)
        return made

    def json_bytes(self, *, exclude_defaults: bool = False) -> bytes:
        """The value as wire JSON, without the detours of `model_dump_json`."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True, exclude_defaults=exclude_defaults)
