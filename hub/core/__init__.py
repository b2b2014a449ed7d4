"""Values and rules of the game: names, errors, events, operations, cursors. No I/O, no clock, no framework."""
