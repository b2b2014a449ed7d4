"""Issues and pull requests at GitHub, opened from what a room says and linked to it."""
