"""Routing rules at work: what they do to messages, before and after they are kept."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.core.errors import Forbidden, HubError
from hub.features.messages.contract import ListMessages, PostMessage
from hub.features.queues.contract import ClaimTasks, CreateQueue
from hub.features.queues.rules import QueueNotFound
from hub.features.routing import contract as c
from hub.features.routing import rules
from hub.features.routing.patterns import BadExpression, at_path, found
from hub.kernel.rooms.contract import CreateChannel, CreateRoom, JoinRoom, LeaveRoom
from hub.server.timers import Clockwork
from tests.support.hubs import TestHub, running_hub

pytestmark = pytest.mark.anyio


async def rooms(hub: TestHub, *names: str) -> tuple[Any, Any]:
    """Rooms of ada, which ben is in too."""
    ada, ben = await hub.agent("ada", scopes=("room:read", "room:send", "room:admin", "task:send")), None
    ben = await hub.agent("ben", "code")
    for name in names:
        await ada.call(CreateRoom(room=name, open_to="all"))
        await ben.call(JoinRoom(room=name, role="tester"))
    return ada, ben


async def rule(owner: Any, room: str, name: str, then: list[dict[str, Any]], **fields: Any) -> c.RuleInfo:
    made: c.RuleInfo = await owner.call(c.AddRule.model_validate({"room": room, "name": name, "then": then, **fields}))
    return made


async def say(who: Any, room: str, text: str, **fields: Any) -> str:
    return str((await who.call(PostMessage(room=room, text=text, **fields))).id)


async def tick(hub: TestHub) -> None:
    hub.clock.advance(1)
    await hub.app.dispatch.service(Clockwork).run_due()


async def messages(who: Any, room: str) -> list[Any]:
    return list((await who.call(ListMessages(room=room))).items)


async def test_rules_tag_rank_address_and_move_before_a_message_is_kept(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build")
    await ada.call(CreateChannel(room="build", channel="alerts"))
    then = [
        {"do": "tag", "tag": "outage"},
        {"do": "set_priority", "priority": "critical"},
        {"do": "address", "agent": "ada"},
        {"do": "move", "channel": "alerts"},
    ]
    await rule(ada, "build", "outages", then, when={"text": "(?i)server.*down", "role": ["tester"]})
    await rule(ada, "build", "later", [{"do": "tag", "tag": "seen"}], when={"channel": ["alerts"]}, order=200)
    await say(ben, "build", "all fine")
    await say(ben, "build", "SERVER 5 is DOWN", metadata={"host": 5})
    plain, alarm = await messages(ada, "build")
    assert (plain.tags, plain.priority, plain.to, plain.channel) == ((), "normal", (), "general")
    assert (alarm.tags, alarm.priority, alarm.to, alarm.channel) == (("outage", "seen"), "critical", ("ada",), "alerts")
    hits = (await ben.call(c.ListRules(room="build"))).items
    assert [(item.name, item.hits, item.by) for item in hits] == [("outages", 1, "ada"), ("later", 1, "ada")]


async def test_a_refused_message_is_not_kept_and_its_rule_counts_it(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build")
    await rule(ada, "build", "people-first", [{"do": "allow"}], when={"sender": ["ada"]}, order=1)
    await rule(ada, "build", "no-secrets", [{"do": "deny", "reason": "no keys here"}], when={"text": r"sk-[a-z0-9]{8}"})
    with pytest.raises(rules.RoutingDenied, match="no keys here"):
        await say(ben, "build", "use sk-12345678")
    await say(ada, "build", "my own sk-12345678")
    assert [m.text for m in await messages(ada, "build")] == ["my own sk-12345678"]
    assert [(r.name, r.hits) for r in (await ada.call(c.ListRules(room="build"))).items] == [
        ("people-first", 1),
        ("no-secrets", 1),
    ]


async def test_only_owners_change_rules_and_removing_ends_them(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build")
    made = await rule(ada, "build", "quiet", [{"do": "deny"}])
    with pytest.raises(Forbidden):
        await rule(ben, "build", "loud", [{"do": "allow"}])
    with pytest.raises(rules.RoutingDenied):
        await say(ben, "build", "x")
    await ada.call(c.RemoveRule(room="build", rule=made.rule))
    await say(ben, "build", "x")
    with pytest.raises(rules.RuleNotFound):
        await ada.call(c.RemoveRule(room="build", rule=made.rule))


async def test_a_copy_arrives_once_names_its_sender_and_a_move_leaves_a_blank(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build", "ops", "vault")
    await rule(ada, "build", "to-ops", [{"do": "copy", "room": "ops"}], when={"priority": ["high"]})
    await rule(ada, "build", "to-vault", [{"do": "move", "room": "vault"}], when={"has": ["$.secret"]})
    sent = await say(ben, "build", "look", priority="high")
    await say(ben, "build", "hide", metadata={"secret": True})
    for _ in range(3):
        await tick(hub)
    [copy] = await messages(ada, "ops")
    assert (copy.sender, copy.text, copy.priority) == ("hub", "ben in build: look", "high")
    assert {k: copy.metadata["routed"][k] for k in ("from", "room", "message")} == {
        "from": "ben",
        "room": "build",
        "message": sent,
    }
    assert [m.text for m in await messages(ada, "vault")] == ["ben in build: hide"]
    assert [(m.text, m.tombstone) for m in await messages(ada, "build")] == [("look", None), ("", "redacted")]


async def test_a_message_becomes_a_task_with_its_priority(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build")
    await ada.call(CreateQueue(queue="triage"))
    await rule(ada, "build", "bugs", [{"do": "copy", "queue": "triage"}], when={"text": r"^bug:"})
    sent = await say(ben, "build", "bug: it breaks", priority="high", metadata={"line": 3})
    await tick(hub)
    [task] = (await ben.call(ClaimTasks(queue="triage", max=5))).items
    assert task.priority == "high"
    assert task.body == {
        "text": "bug: it breaks",
        "metadata": {"line": 3},
        "from": "ben",
        "room": "build",
        "message": sent,
    }


async def test_what_cannot_be_delivered_is_counted_with_its_reason(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build", "ops")
    made = await rule(ada, "build", "to-ops", [{"do": "copy", "room": "ops"}])
    local = await hub.local()
    await local.call(JoinRoom(room="ops"))
    await ada.call(LeaveRoom(room="ops"))
    await say(ben, "build", "x")
    await tick(hub)
    [info] = (await ada.call(c.ListRules(room="build"))).items
    assert (info.rule, info.hits, info.failures) == (made.rule, 1, 1)
    assert "not in room 'ops'" in (info.last_failure or "")


async def test_a_circle_of_rules_is_refused_with_the_way_it_takes(hub: TestHub) -> None:
    ada, _ben = await rooms(hub, "a", "b", "c")
    await rule(ada, "a", "ab", [{"do": "copy", "room": "b"}])
    await rule(ada, "b", "bc", [{"do": "copy", "room": "c"}])
    with pytest.raises(rules.RoutingLoop, match="c → a → b → c"):
        await rule(ada, "c", "ca", [{"do": "copy", "room": "a"}])


async def test_copies_between_channels_of_one_room_end(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build")
    for channel in ("one", "two"):
        await ada.call(CreateChannel(room="build", channel=channel))
        await rule(ada, "build", f"to-{channel}", [{"do": "copy", "channel": channel}])
    await say(ben, "build", "x")
    for _ in range(10):
        await tick(hub)
    assert len(await messages(ada, "build")) == 5, "the message, a copy each, and each copy by the other rule"


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=look)", "((a{0,100}){0,100}){0,100}", "(", "[z-a]"])
async def test_a_pattern_that_could_explode_is_refused_with_the_reason(hub: TestHub, pattern: str) -> None:
    ada, _ben = await rooms(hub, "build")
    with pytest.raises(BadExpression, match="not one RE2 takes"):
        await rule(ada, "build", "bomb", [{"do": "deny"}], when={"text": pattern})
    proposed = c.RuleSpec.model_validate({"name": "bomb", "then": [{"do": "deny"}], "when": {"text": pattern}})
    with pytest.raises(BadExpression):
        await ada.call(c.DryRunRules(room="build", rules=(proposed,)))


def test_classic_bombs_run_in_linear_time() -> None:
    bombs = [("(x+x+)+y", "x" * 65_536), ("(a|aa)+$", "a" * 60_000 + "!"), ("(.*a){12}b", "a" * 65_536)]
    started = time.perf_counter()
    assert [found(pattern, text) for pattern, text in bombs] == [False, False, False]
    assert time.perf_counter() - started < 2


async def test_a_rule_for_a_place_its_author_cannot_reach_is_refused(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build")
    await ben.call(CreateRoom(room="private"))
    with pytest.raises(HubError, match="not found"):
        await rule(ada, "build", "peek", [{"do": "copy", "room": "private"}])
    with pytest.raises(QueueNotFound):
        await rule(ada, "build", "work", [{"do": "copy", "queue": "nowhere"}])


async def test_the_same_text_passes_again_only_after_the_window(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build")
    await rule(ada, "build", "once", [{"do": "deduplicate", "window_s": 60}])
    await rule(ada, "build", "per-key", [{"do": "deduplicate", "by": "$.key", "window_s": 60}])
    await say(ben, "build", "hello")
    with pytest.raises(rules.DuplicateMessage, match="within 60 s"):
        await say(ada, "build", "hello")
    hub.clock.advance(61)
    await say(ben, "build", "hello", metadata={"key": [1, 2]})
    with pytest.raises(rules.DuplicateMessage):
        await say(ben, "build", "other", metadata={"key": [1, 2]})
    await say(ben, "build", "third", metadata={"key": [2, 1]})


async def test_a_sender_cannot_pretend_that_a_message_was_routed_already(hub: TestHub) -> None:
    ada, ben = await rooms(hub, "build")
    made = await rule(ada, "build", "quiet", [{"do": "deny"}], when={"sender": ["ben"]})
    forged = {"routed": {"passed": [[n, m] for n in range(30) for m in range(10)], "rule": made.rule}}
    with pytest.raises(rules.RoutingDenied):
        await say(ben, "build", "x", metadata=forged)


def test_paths_find_what_is_there_and_nothing_else() -> None:
    value = {"a": [{"b": None}, 7], "c-d": {"e": False}}
    assert [at_path(value, p) for p in ("$.a[0].b", "$.a[1]", "$.c-d.e", "$")] == [None, 7, False, value]
    assert {id(at_path(value, p)) for p in ("$.x", "$.a[2]", "$.a.b", "$.c-d[0]")} == {id(at_path({}, "$.x"))}


WORDS = ("deploy failed", "all fine", "bug: x", "hello world", "failed again")
when = st.fixed_dictionaries(
    {},
    optional={
        "text": st.sampled_from(["failed", "^bug", "(?i)HELLO", "."]),
        "priority": st.lists(st.sampled_from(["low", "normal", "high"]), max_size=2),
        "sender": st.lists(st.sampled_from(["ada", "ben"]), max_size=1),
        "sender_kind": st.lists(st.sampled_from(["code", "script"]), max_size=1),
        "channel": st.lists(st.sampled_from(["general", "side"]), max_size=1),
        "metadata": st.dictionaries(st.sampled_from(["$.n", "$.deep.n"]), st.integers(0, 1), max_size=1),
        "has": st.lists(st.sampled_from(["$.n"]), max_size=1),
    },
)
action = st.sampled_from(
    [
        {"do": "allow"},
        {"do": "deny", "reason": "no"},
        {"do": "tag", "tag": "t1"},
        {"do": "tag", "tag": "t2"},
        {"do": "set_priority", "priority": "high"},
        {"do": "set_priority", "priority": "low"},
        {"do": "address", "agent": "ada"},
        {"do": "deduplicate", "window_s": 60},
        {"do": "move", "channel": "side"},
        {"do": "copy", "room": "elsewhere"},
    ]
)
spec = st.fixed_dictionaries(
    {"when": when, "then": st.lists(action, min_size=1, max_size=3)},
    optional={"order": st.integers(0, 3), "stop": st.booleans()},
)
message = st.fixed_dictionaries(
    {
        "by": st.sampled_from(["ada", "ben"]),
        "text": st.sampled_from(WORDS),
        "priority": st.sampled_from(["low", "normal", "high"]),
        "metadata": st.sampled_from([{}, {"n": 0}, {"n": 1}, {"n": True}, {"deep": {"n": 1}}]),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(spec, min_size=1, max_size=4), st.lists(message, min_size=1, max_size=8))
@example(
    [
        {
            "when": {"priority": ["normal"]},
            "then": [{"do": "set_priority", "priority": "high"}, {"do": "tag", "tag": "t1"}],
        }
    ],
    [{"by": "ben", "text": "all fine", "priority": "normal", "metadata": {}}],
)
@example(
    [{"when": {}, "then": [{"do": "deduplicate", "window_s": 60}, {"do": "deny", "reason": "no"}]}],
    [{"by": "ada", "text": "all fine", "priority": "normal", "metadata": {}}] * 2,
)
def test_a_dry_run_tells_exactly_what_happens_live(specs: list[Any], sent: list[Any]) -> None:
    """The same messages in a room without rules, tried dry, and in a room with them, live."""
    with TemporaryDirectory() as home:
        anyio.run(_dry_equals_live, Path(home), specs, sent)


async def _dry_equals_live(home: Path, specs: list[Any], sent: list[Any]) -> None:
    async with running_hub(home) as hub:
        ada, ben = await rooms(hub, "plain", "ruled", "elsewhere")
        for room in ("plain", "ruled"):
            await ada.call(CreateChannel(room=room, channel="side"))
        proposed = tuple(c.RuleSpec.model_validate({**s, "name": f"r{n}"}) for n, s in enumerate(specs))
        for one in proposed:
            await ada.call(c.AddRule(room="ruled", **dict(one)))
        live: list[Any] = []
        for fields in sent:
            who = {"ada": ada, "ben": ben}[fields["by"]]
            given_fields = {k: v for k, v in fields.items() if k != "by"}
            await say(who, "plain", **given_fields)
            try:
                name = await say(who, "ruled", **given_fields)
                live.append(next(m for m in await messages(ada, "ruled") if m.id == name))
            except (rules.RoutingDenied, rules.DuplicateMessage) as refused:
                live.append(type(refused))
        dry = (await ada.call(c.DryRunRules(room="plain", rules=proposed))).items
        assert [_of_dry(item) for item in dry] == [_of_live(item) for item in live]
        for _ in range(3):
            await tick(hub)
        hits = {info.name: info.hits for info in (await ada.call(c.ListRules(room="ruled"))).items}
        assert hits == {one.name: sum(one.name in item.matched for item in dry) for one in proposed}
        copies = len(await messages(ada, "elsewhere"))
        assert copies == sum(len(item.sent) for item in dry)


def _of_dry(item: c.Routed) -> Any:
    if item.denied_by is not None:
        return rules.DuplicateMessage if item.duplicate else rules.RoutingDenied
    return (item.tags, item.priority, item.channel, item.to)


def _of_live(item: Any) -> Any:
    return item if isinstance(item, type) else (item.tags, item.priority, item.channel, item.to)
