"""Rules of a room: events to rows, rows to values."""

from __future__ import annotations

import orjson

from hub.core.event import Placed
from hub.features.routing.contract import RuleAdded, RuleRemoved, RuleSpec
from hub.features.routing.rules import Rule, in_order
from hub.log.log import projects
from hub.storage.interface import Tx


@projects(RuleAdded)
def added(tx: Tx, at: Placed, body: RuleAdded) -> None:
    tx.stage("routing_rule", (at.log, at.seq, at.actor, body.spec.model_dump_json(exclude_defaults=True)))
    tx.forget(("routing rules", at.log))


@projects(RuleRemoved)
def removed(tx: Tx, at: Placed, body: RuleRemoved) -> None:
    tx.run("delete from routing_rule where log = :log and seq = :seq", log=at.log, seq=body.rule)
    tx.forget(("routing rules", at.log))


def load_rules(tx: Tx, log: int) -> tuple[Rule, ...]:
    """The rules of a room in the order in which they are asked."""

    def load() -> tuple[Rule, ...]:
        rows = tx.rows("select seq, author, spec from routing_rule where log = :log order by seq", log=log)
        return in_order(Rule(row[0], RuleSpec.model_validate(orjson.loads(row[2])), row[1]) for row in rows)

    return tx.memo(("routing rules", log), load)
