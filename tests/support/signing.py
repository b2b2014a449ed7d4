"""How GitHub signs its calls to a hook."""

from __future__ import annotations

import hashlib
import hmac


def signed(secret: str, body: bytes, event: str, delivery: str = "d-1") -> dict[str, str]:
    """The headers of GitHub's call to a hook."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "x-github-event": event,
        "x-github-delivery": delivery,
        "x-hub-signature-256": f"sha256={signature}",
    }
