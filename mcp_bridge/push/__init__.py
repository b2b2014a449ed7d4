"""Ways into a live session: a ladder of rungs, one chosen per message. Standard library only (the relay imports it)."""
