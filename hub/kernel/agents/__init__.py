"""Agents and their tokens, kept in the hub's own stream."""
