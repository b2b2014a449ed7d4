"""Sending, reading, editing, redacting messages; reactions, questions, receipts."""
