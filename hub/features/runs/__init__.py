"""Runs: code that members of a room execute in the hub's sandbox."""
