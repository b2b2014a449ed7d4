"""A GitHub on loopback: real HTTP, answers that GitHub's own published schemas accept, and faults on demand.

Every request body and every answer is checked against the models that githubkit generates from GitHub's OpenAPI
description; one that does not fit fails the test that caused it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from urllib.parse import parse_qs, urlsplit

from githubkit_schemas.latest import models

TOKEN: Final = "ghp_" + "s3cr3tT0ken" * 3
WEB: Final = "https://github.com"
_PAGE: Final = 100


def example(kind: Any) -> Any:
    """The smallest value of a type of GitHub's schema: required fields only."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return example(args[0])
    if origin is Literal:
        return args[0]
    if origin in (Union, UnionType):
        return None if NoneType in args else example(args[0])
    if origin in (list, dict):
        return origin()
    if hasattr(kind, "model_fields"):
        return {f.alias or name: example(f.annotation) for name, f in kind.model_fields.items() if f.is_required()}
    plain = {int: 1, str: "x", bool: False, float: 1.0, datetime: "2026-01-01T00:00:00Z"}
    return plain.get(kind)


def shaped(kind: Any, **fields: Any) -> dict[str, Any]:
    """An answer as GitHub gives it. Fails when its schema does not accept it."""
    made: dict[str, Any] = {**example(kind), **fields}
    kind.model_validate(made)
    return made


@dataclass
class Repo:
    """A repository with what was opened in it, oldest first."""

    name: str
    default_branch: str = "main"
    branches: set[str] = field(default_factory=lambda: {"main", "login"})
    issues_on: bool = True
    writable: bool = True
    things: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


Fault = Answer | Literal["deaf", "lost", "late"]  # never read it · did it, no answer · did it, answer after `released`


class FakeGithub:
    """What a test says to GitHub and what GitHub did. `faults` are used up by calls that make something, in order."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.look_faults: list[Fault] = []
        self.calls: list[tuple[str, str]] = []
        self.problems: list[str] = []
        self.released = asyncio.Event()
        self.arrived = asyncio.Event()
        self.address = ""

    def repo(self, name: str = "acme/app", **fields: Any) -> Repo:
        """A new repository."""
        self.repos[name] = made = Repo(name, **fields)
        return made

    @property
    def made(self) -> list[dict[str, Any]]:
        """Everything that was opened, in all repositories."""
        return [thing for repo in self.repos.values() for thing in repo.things]

    def mutations(self) -> int:
        return sum(method == "POST" for method, _ in self.calls)

    # --- the API -----------------------------------------------------------------------------------------------

    def _error(self, status: int, message: str, **headers: str) -> Answer:
        body = shaped(models.BasicError, message=message, documentation_url="https://docs.github.com/rest")
        return Answer(status, body, headers)

    def _invalid(self, *errors: dict[str, Any]) -> Answer:
        body = shaped(models.ValidationError, message="Validation Failed", documentation_url="x", errors=list(errors))
        return Answer(422, body)

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """As GitHub would."""
        url = urlsplit(target)
        if headers.get("authorization") not in (f"token {TOKEN}", f"Bearer {TOKEN}"):
            return self._error(401, "Bad credentials")
        if not headers.get("user-agent"):
            return self._error(403, "Request forbidden by administrative rules.")
        parts = url.path.removeprefix("/api/v3").strip("/").split("/")  # where GitHub Enterprise has it
        repo = self.repos.get("/".join(parts[1:3])) if parts[0] == "repos" else None
        if repo is None:
            return self._error(404, "Not Found")
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        match method, *parts[3:]:
            case ["GET"]:
                return Answer(200, shaped(models.FullRepository, default_branch=repo.default_branch))
            case ["POST", "issues"]:
                return self._open_issue(repo, json.loads(body))
            case ["POST", "pulls"]:
                return self._open_pull(repo, json.loads(body))
            case ["GET", ("issues" | "pulls") as kind]:
                return self._list(repo, kind, query)
        return self._error(404, "Not Found")

    def _open_issue(self, repo: Repo, body: dict[str, Any]) -> Answer:
        models.ReposOwnerRepoIssuesPostBody.model_validate(body)
        if not repo.issues_on:
            return self._error(410, "Issues has been disabled in this repository.")
        if not repo.writable:
            return self._error(403, "Resource not accessible by personal access token")
        if len(body["body"]) > 65_536:
            return self._invalid(
                {"resource": "Issue", "field": "body", "code": "custom", "message": "body is too long"}
            )
        labels = [{"name": name} for name in body.get("labels", [])]
        return self._keep(repo, models.Issue, "issues", {**self._shared(repo, body), "labels": labels})

    def _open_pull(self, repo: Repo, body: dict[str, Any]) -> Answer:
        models.ReposOwnerRepoPullsPostBody.model_validate(body)
        if body["head"] not in repo.branches:
            return self._invalid({"resource": "PullRequest", "field": "head", "code": "invalid"})
        if any(one.get("_head") == body["head"] and one["state"] == "open" for one in repo.things):
            said = f"A pull request already exists for {repo.name.split('/')[0]}:{body['head']}."
            return self._invalid({"resource": "PullRequest", "code": "custom", "message": said})
        made = self._keep(repo, models.PullRequest, "pull", {**self._shared(repo, body), "draft": body.get("draft")})
        repo.things[-1]["_head"] = body["head"]
        return made

    def _shared(self, repo: Repo, body: dict[str, Any]) -> dict[str, Any]:
        number = len(repo.things) + 1
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {"number": number, "title": body["title"], "body": body["body"], "state": "open", "created_at": now}

    def _keep(self, repo: Repo, kind: Any, path: str, fields: dict[str, Any]) -> Answer:
        made = shaped(kind, **fields, html_url=f"{WEB}/{repo.name}/{path}/{fields['number']}")
        repo.things.append({**made, "_path": path})
        return Answer(201, made)

    def _list(self, repo: Repo, kind: str, query: dict[str, str]) -> Answer:
        things = [t for t in repo.things if kind == "issues" or t["_path"] == "pull"]
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        newest = things[::-1][(page - 1) * size : page * size]
        shown = [{k: v for k, v in thing.items() if not k.startswith("_")} for thing in newest]
        return Answer(200, shown)

    # --- the wire ----------------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller went away
        except Exception as error:
            self.problems.append(repr(error))
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.calls.append((method, urlsplit(target).path))
        faults = self.faults if method == "POST" else self.look_faults
        fault = faults.pop(0) if faults else None
        if fault == "deaf":
            return
        found = fault if isinstance(fault, Answer) else self.answer(method, target, headers, body)
        self.arrived.set()
        if fault == "late":
            await self.released.wait()
        if fault == "lost":
            return
        writer.write(_wire(found))
        await writer.drain()


def _wire(answer: Answer) -> bytes:
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    lines = {"content-type": "application/json; charset=utf-8", "content-length": str(len(body)), **answer.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, "connection": "close"}.items())
    return f"HTTP/1.1 {answer.status} X\r\n{head}\r\n".encode() + body


@asynccontextmanager
async def github_running() -> AsyncIterator[FakeGithub]:
    """A GitHub with the repository acme/app. Fails in the end when a request or an answer was not GitHub's."""
    fake = FakeGithub()
    fake.repo()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        fake.released.set()
        server.close()
        await server.wait_closed()
    assert fake.problems == []
