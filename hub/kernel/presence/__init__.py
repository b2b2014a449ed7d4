"""Who is there: from calls and live connections, never from what anybody claims."""
