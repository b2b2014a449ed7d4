"""Which addressed questions still wait for an answer, from the messages themselves."""

from __future__ import annotations

from hub.core.errors import MessageNotFound
from hub.core.event import Placed
from hub.core.names import split_id
from hub.kernel.messages.contract import MessagePosted
from hub.log.log import projects
from hub.storage.interface import Tx


@projects(MessagePosted)
def asked_or_answered(tx: Tx, at: Placed, body: MessagePosted) -> None:
    """A question opens one row per recipient; that recipient's answer closes it."""
    if body.kind == "question":
        for name in body.to:
            tx.stage("open_question", (at.log, at.seq, name))
    elif body.kind == "answer" and body.reply_to is not None:
        tx.run(
            "delete from open_question where log = :log and seq = :seq and name = :name",
            log=at.log,
            seq=split_id("m", body.reply_to, MessageNotFound)[1],
            name=at.actor_name,
        )
