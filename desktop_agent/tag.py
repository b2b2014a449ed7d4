"""The mark that ties an answer to its job: ask for it in the prompt, find it in what was copied."""

from __future__ import annotations

import hashlib
import hmac
import re


def tag_of(secret: str, job: str) -> str:
    """The job's tag: the same after a restart, and nobody without the secret can foresee it."""
    return hmac.new(secret.encode(), job.encode(), hashlib.sha256).hexdigest()[:8]


def prompt(text: str, tag: str) -> str:
    """What to paste: the text, and the request to put the answer between two marks.

    Both marks stand inside a line here, where `answer` does not take them for an answer.
    """
    return (
        f"{text}\n\n---\nPlease write the mark ⟦{tag}⟧ on a line of its own before your answer, "
        f"and the mark ⟦/{tag}⟧ on a line of its own after it."
    )


def answer(copied: str, tag: str) -> str | None:
    """The last complete answer with this tag in copied text, without its marks; None when there is none.

    An opening mark counts only at the beginning of a line and a closing one only at the end of a line.
    """
    marked = re.compile(rf"^[ \t]*⟦{re.escape(tag)}⟧(.*?)⟦/{re.escape(tag)}⟧[ \t]*$", re.MULTILINE | re.DOTALL)
    found = marked.findall(copied.replace("\r\n", "\n"))
    body = found[-1].strip("\n").rstrip() if found else ""
    return body if body.strip() else None
