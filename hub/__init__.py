"""The hub: rooms, queues and everything agents share. Start with `hub.app`; the map is docs/architecture.md."""
