"""The frozen pydantic base of every request, result and event body. Nothing else belongs here."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """An immutable value; unknown fields are an error, so a typo never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_bytes="base64")
