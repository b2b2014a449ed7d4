"""Callers: in-process (`LocalCaller`) and over HTTP (`HubClient`), with the same interface."""

from hub.client.client import HubClient, SyncHubClient
from hub.client.fanout import Outcome, fan_out
from hub.client.local import LocalCaller

__all__ = ["HubClient", "LocalCaller", "Outcome", "SyncHubClient", "fan_out"]
