"""The message itself: its shape, its event, posting one. Features that post (jobs, queues, webhooks) use this too."""
