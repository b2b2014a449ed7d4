"""Before and after a vote: critiques, alternatives, arguments; and the register of what was decided."""
