"""Full-text search over the rooms a caller is in."""
