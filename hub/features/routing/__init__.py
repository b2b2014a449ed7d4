"""Routing: declarative rules of a room that allow, deny, tag, re-rank, move and copy messages."""
