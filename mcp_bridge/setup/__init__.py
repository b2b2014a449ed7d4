"""Putting the bridge into clients' configuration files, and taking it out again: one file per client."""
