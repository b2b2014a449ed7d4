"""The hub on the network: dispatch, HTTP, SSE, WebSocket, security, limits, health."""
