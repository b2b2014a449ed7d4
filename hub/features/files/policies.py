"""A message may attach only files of its own room."""

from __future__ import annotations

from hub.core.call import Call
from hub.core.errors import Invalid, NotFound
from hub.kernel.files.project import find_file
from hub.kernel.messages.draft import Draft, before_append
from hub.kernel.rooms.project import Entered
from hub.storage.interface import Tx


class AttachmentNotFound(Invalid):
    code, title = "attachment-not-found", "No such file to attach"


@before_append(10)
def attached_files_exist(tx: Tx, call: Call, entered: Entered, draft: Draft) -> Draft:
    """File names become ids; what is not a file of this room is refused."""
    if draft.attachments:
        draft.attachments = tuple(dict.fromkeys(_id(tx, entered, file) for file in draft.attachments))
    return draft


def _id(tx: Tx, entered: Entered, file: str) -> str:
    try:
        return find_file(tx, entered, file).id
    except NotFound as error:
        raise AttachmentNotFound(error.detail) from error
