"""Inbound hooks: other services tell a room what happened, signed. GitHub, and anything that signs Standard Webhooks."""
