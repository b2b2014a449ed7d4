"""Routing rules: operations, their shapes, and the events that keep and audit them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from hub.core.event import EventBody
from hub.core.model import Model
from hub.core.names import AgentName, ChannelName, Name, QueueName, RoomName
from hub.core.operation import AnyOperation, Done, Operation, Request, Result
from hub.kernel.messages.contract import Intent, MessageKind, Priority

RuleId = Annotated[str, Field(min_length=3, max_length=40)]
Pattern = Annotated[str, Field(min_length=1, max_length=500)]
JsonPath = Annotated[str, StringConstraints(pattern=r"^\$(\.[A-Za-z0-9_-]+|\[[0-9]{1,4}\])*$", max_length=200)]
Tagged = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._:-]{0,63}$")]


class When(Model):
    """What a message must be: every given field must fit; a list fits when one of it does. Nothing given fits all."""

    kind: tuple[MessageKind, ...] = ()
    intent: tuple[Intent, ...] = ()
    priority: tuple[Priority, ...] = ()
    channel: tuple[ChannelName, ...] = ()
    sender: tuple[AgentName, ...] = ()
    sender_kind: tuple[Name, ...] = ()
    role: tuple[Name, ...] = ()
    text: Pattern | None = Field(default=None, description="RE2 expression, searched in the first 64 KiB.")
    metadata: dict[JsonPath, Any] = Field(default_factory=dict, max_length=10, description="JSON path → equal value.")
    has: tuple[JsonPath, ...] = Field(default=(), max_length=10, description="JSON paths that metadata must have.")


class Allow(Model):
    """Let it pass; no later rule is asked."""

    do: Literal["allow"]


class Deny(Model):
    """Refuse it; the sender learns the rule and the reason."""

    do: Literal["deny"]
    reason: str = Field(default="", max_length=500)


class Tag(Model):
    do: Literal["tag"]
    tag: Tagged


class SetPriority(Model):
    do: Literal["set_priority"]
    priority: Priority


class Address(Model):
    """Address it to a member of the room as well."""

    do: Literal["address"]
    agent: AgentName


class Deduplicate(Model):
    """Refuse a message whose text, or metadata value at a JSON path, was there within `window_s`."""

    do: Literal["deduplicate"]
    by: Literal["text"] | JsonPath = "text"
    window_s: int = Field(default=60, ge=1, le=86_400)


class _Sent(Model):
    channel: ChannelName | None = None
    room: RoomName | None = None
    queue: QueueName | None = None

    @model_validator(mode="after")
    def _one_place(self) -> _Sent:
        if (self.queue is None) == (self.room is None and self.channel is None):
            raise ValueError("name where to: a channel, a room (with a channel of it or not), or a queue")
        return self


class Move(_Sent):
    """To a channel of this room it goes at once; to another room or a queue it is copied, then blanked here."""

    do: Literal["move"]


class Copy(_Sent):
    """Posted again in a channel or room, or put into a queue, by the hub, naming its sender."""

    do: Literal["copy"]


Action = Annotated[Allow | Deny | Tag | SetPriority | Address | Deduplicate | Move | Copy, Field(discriminator="do")]


class RuleSpec(Model):
    """`then` happens to messages that fit `when`; lower `order` first; `stop` ends with this rule when it fits."""

    name: Name
    when: When = Field(default_factory=When)
    then: tuple[Action, ...] = Field(min_length=1, max_length=10)
    order: int = Field(default=100, ge=0, le=1_000_000)
    stop: bool = False


class RuleInfo(Result):
    """A rule, how often it fitted, and what went wrong last when it moved or copied."""

    rule: str
    name: str
    when: When
    then: tuple[Action, ...]
    order: int
    stop: bool
    by: str
    hits: int = 0
    last_hit_at: str | None = None
    failures: int = 0
    last_failure: str | None = None


class RuleInfos(Result):
    """The rules of a room in the order in which they are asked."""

    items: tuple[RuleInfo, ...]


class Routed(Model):
    """What the rules do to one message."""

    message: str
    matched: tuple[str, ...] = ()
    denied_by: str | None = None
    reason: str | None = None
    duplicate: bool = False
    tags: tuple[str, ...] = ()
    priority: Priority
    channel: str
    to: tuple[str, ...] = ()
    sent: tuple[str, ...] = Field(default=(), description="move or copy, and where to.")


class DryRun(Result):
    """What the rules would have done to messages of the past, oldest first; nothing was changed."""

    items: tuple[Routed, ...]


class AddRule(Request[RuleInfo]):
    """Add a routing rule to a room you own. It applies to messages sent from now on."""

    room: RoomName
    name: Name
    when: When = Field(default_factory=When)
    then: tuple[Action, ...] = Field(min_length=1, max_length=10)
    order: int = Field(default=100, ge=0, le=1_000_000)
    stop: bool = False


class ListRules(Request[RuleInfos]):
    """Rules of a room with their hits."""

    room: RoomName


class RemoveRule(Request[Done]):
    """Remove a routing rule; what it has done stays."""

    room: RoomName
    rule: RuleId


class DryRunRules(Request[DryRun]):
    """Dry run over the newest `limit` messages: with these `rules`, else with the room's own. Changes nothing."""

    room: RoomName
    rules: tuple[RuleSpec, ...] | None = Field(default=None, max_length=50)
    limit: int = Field(default=100, ge=1, le=500)


class RuleAdded(EventBody):
    type: ClassVar[str] = "rule.added"
    spec: RuleSpec


class RuleRemoved(EventBody):
    type: ClassVar[str] = "rule.removed"
    rule: int


_R = "/v1/rooms/{room}/rules"
ADD = Operation("rules.add", f"POST {_R}", "room:admin", AddRule, RuleInfo, 201)
LIST = Operation("rules.list", f"GET {_R}", "room:read", ListRules, RuleInfos)
REMOVE = Operation("rules.remove", f"DELETE {_R}/{{rule}}", "room:admin", RemoveRule, Done)
TEST = Operation("rules.test", f"POST {_R}/test", "room:read", DryRunRules, DryRun, lock="none")
OPERATIONS: list[AnyOperation] = [ADD, LIST, REMOVE, TEST]
