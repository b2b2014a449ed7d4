"""The log: append with projections in one transaction, read by cursor, wake who waits."""
