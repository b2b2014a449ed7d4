"""From a bearer token to a principal; tickets for pages; one-time codes for logging a page in."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hub.core.access import Principal
from hub.core.call import Call
from hub.core.errors import RateLimited, Unauthorized
from hub.core.names import from_base32
from hub.kernel.agents.handlers import issue
from hub.kernel.agents.project import TokenRow, load_token
from hub.log.log import HUB
from hub.server.dispatch import Dispatch
from hub.storage.interface import Tx

_TOKEN: Final = re.compile(r"^mab_([0-9a-hjkmnp-tv-z]{1,13})_([A-Za-z0-9_-]{43})$")
_MOST_CACHED: Final = 10_000
TICKET_S: Final = 30
CODE_S: Final = 300
_UNKNOWN_S: Final = 20
PAGE_TOKEN_S: Final = 12 * 3600


class Authenticator:
    """Knows living tokens. Revocation and retiring take effect with the commit that records them."""

    def __init__(self, dispatch: Dispatch, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._dispatch = dispatch
        self._monotonic = monotonic
        self._cache: dict[str, TokenRow] = {}
        self._living: dict[str, TokenRow] = {}  # by id, for connections that stay open
        self._tickets: dict[str, tuple[Principal, float]] = {}
        self._codes: dict[str, tuple[Principal, float]] = {}
        dispatch.on_hub_growth.append(self.changed)
        dispatch.still_allowed = self.still

    def changed(self) -> None:
        """Agents or tokens changed: forget what is cached."""
        self._cache.clear()
        self._living.clear()

    async def still(self, principal: Principal) -> Principal:
        """The principal as it is now, for whoever it let in earlier. Raises Unauthorized when its token ended."""
        if not (token := principal.token):
            return principal  # the hub itself
        if (row := self._living.get(token)) is None:
            row = await self._dispatch.store.read(lambda tx: load_token(tx, from_base32(token), token))
            if row is not None and len(self._living) < _MOST_CACHED:
                self._living[token] = row
        if row is None or not self._alive(row):
            raise Unauthorized("the token of this connection was revoked or has expired; get a new one")
        return row.principal

    def lasts_s(self, principal: Principal) -> float:
        """How long its token lasts if nobody changes it; less where that is not known."""
        if not principal.token:
            return math.inf
        row = self._living.get(principal.token)
        return _UNKNOWN_S if row is None else max(0.0, (row.expires_at - self._dispatch.clock()) / 1000)

    def known(self, header: bytes | None) -> Principal | None:
        """Whose Authorization header this is, if it was authenticated before and still is."""
        if header is None or not header.startswith(b"Bearer "):
            return None
        row = self._cache.get(header[7:].decode("latin-1"))
        return row.principal if row is not None and self._alive(row) else None

    async def authenticate(self, token: str | None, address: str = "") -> Principal:
        """The principal of a token. Raises Unauthorized, or RateLimited after many wrong tokens from one address."""
        if token and (row := self._cache.get(token)) is not None and self._alive(row):
            return row.principal
        row = await self._look_up(token) if token else None
        if token is None or row is None:
            self._count_wrong(address)
            raise Unauthorized(
                "send 'Authorization: Bearer <token>'"
                if not token
                else "this token is not valid (wrong, expired or revoked); get a new one from whoever issued it"
            )
        if len(self._cache) >= _MOST_CACHED:
            self._cache.clear()
        self._cache[token] = row
        return row.principal

    async def _look_up(self, token: str) -> TokenRow | None:
        match = _TOKEN.match(token)
        if match is None:
            return None
        token_id = match[1]
        row = await self._dispatch.store.read(lambda tx: load_token(tx, from_base32(token_id), token_id))
        given = hashlib.sha256(match[2].encode()).hexdigest()
        if not hmac.compare_digest(given, row.hash if row else "") or row is None or not self._alive(row):
            return None
        return row

    def _alive(self, row: TokenRow) -> bool:
        return row.revoked_at is None and row.expires_at > self._dispatch.clock()

    def _count_wrong(self, address: str) -> None:
        wait_s = self._dispatch.limits.wrong_tokens.take(address)
        if wait_s:
            raise RateLimited("too many wrong tokens from this address; wait", retry_after_s=round(wait_s, 1))

    def ticket(self, principal: Principal) -> str:
        """A 30-second single-use stand-in for the token, for URLs of pages (SSE, WebSocket, downloads)."""
        return self._put(self._tickets, principal, TICKET_S)

    async def redeem(self, ticket: str) -> Principal:
        """The ticket's principal, once. Raises Unauthorized."""
        found = self._take(self._tickets, ticket, "this ticket was used or is older than 30 s; get a new one")
        return await self.still(found)

    def login_code(self, principal: Principal) -> str:
        """A 5-minute single-use code for the fragment of a page's link."""
        return self._put(self._codes, principal, CODE_S)

    async def log_in(self, code: str, address: str = "") -> str:
        """Exchange a login code for a token that the page keeps in memory (12 h)."""
        try:
            found = self._take(self._codes, code, "this link was used or is older than 5 min; run `mcp-bridge open`")
            principal = await self.still(found)
        except Unauthorized:
            self._count_wrong(address)
            raise
        call: Call = self._dispatch.call(principal)

        def body(tx: Tx) -> str:
            token = issue(tx, call, principal.agent, tuple(principal.scopes), PAGE_TOKEN_S).token
            assert token is not None
            return token

        return await self._dispatch.store.write(body, locks=(HUB,))

    def _put(self, where: dict[str, tuple[Principal, float]], principal: Principal, life_s: int) -> str:
        now = self._monotonic()
        for old in [key for key, (_, until) in where.items() if until < now]:
            del where[old]
        made = secrets.token_urlsafe(24)
        where[made] = (replace(principal), now + life_s)
        return made

    def _take(self, where: dict[str, tuple[Principal, float]], key: str, problem: str) -> Principal:
        principal, until = where.pop(key, (None, 0.0))
        if principal is None or until < self._monotonic():
            raise Unauthorized(problem)
        return principal


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header, or None."""
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None
