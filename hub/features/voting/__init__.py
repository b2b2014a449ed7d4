"""Deciding together: proposals, ballots, outcomes whose arithmetic anybody can check."""
