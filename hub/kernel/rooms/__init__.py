"""Rooms: members, access, channels, invites, direct conversations."""
