"""What `poll` gives one agent: positions, receipts, entries, notices."""
