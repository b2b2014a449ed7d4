"""What every feature needs: agents, rooms, inbox, presence. Features meet through these and through the log."""
