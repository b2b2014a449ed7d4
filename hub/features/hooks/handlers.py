"""Making, listing and ending hooks. Loaded after the room's lock is held."""

from __future__ import annotations

import base64

from hub.core.call import Call
from hub.core.names import split_id
from hub.core.operation import Done
from hub.features.hooks.contract import (
    CREATE,
    LIST,
    REMOVE,
    CreateHook,
    Hook,
    HookCreated,
    HookRemoved,
    Hooks,
    ListHooks,
    RemoveHook,
)
from hub.features.hooks.project import view
from hub.features.hooks.rules import HookNotFound
from hub.kernel.rooms.project import enter, enter_to_write, need_channel, refuse_direct
from hub.log.handler import handles
from hub.log.log import append
from hub.storage.interface import Row, Tx


@handles(CREATE)
def create_hook(tx: Tx, call: Call, request: CreateHook) -> Hook:
    refuse_direct(request.room, "a hook")
    log = enter_to_write(tx, call, request.room, "owner").log
    need_channel(tx, log, request.channel)
    event = HookCreated(source=request.source, channel=request.channel, moves=request.moves)
    seq = append(tx, call, log, event).seq
    random = call.random(24)
    secret = random.hex() if request.source == "github" else "whsec_" + base64.b64encode(random).decode()
    tx.run("insert into hook_secret (log, seq, secret) values (:log, :seq, :secret)", log=log, seq=seq, secret=secret)
    return view(tx, _row(tx, log, seq)).model_copy(update={"secret": secret})


def _row(tx: Tx, log: int, seq: int) -> Row:
    row = tx.row("select * from hook where log = :log and seq = :seq", log=log, seq=seq)
    if row is None:
        raise HookNotFound("there is no such hook in this room; list them with hooks.list")
    return row


@handles(LIST)
def list_hooks(tx: Tx, call: Call, request: ListHooks) -> Hooks:
    log = enter(tx, call, request.room).log
    rows = tx.rows("select * from hook where log = :log order by seq", log=log)
    return Hooks(items=tuple(view(tx, row) for row in rows))


@handles(REMOVE)
def remove_hook(tx: Tx, call: Call, request: RemoveHook) -> Done:
    log = enter_to_write(tx, call, request.room, "owner").log
    found, seq = split_id("h", request.hook, HookNotFound)
    _row(tx, log, seq if found == log else 0)
    tx.run("delete from hook_secret where log = :log and seq = :seq", log=log, seq=seq)
    tx.run("delete from hook_seen where log = :log and seq = :seq", log=log, seq=seq)
    append(tx, call, log, HookRemoved(hook=request.hook))
    return Done()
