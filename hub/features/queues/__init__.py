"""Work queues: tasks handed to one claimant at a time under a fenced lease."""
