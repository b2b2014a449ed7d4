"""Files of rooms: their events, rows, bytes, and sharing one inside any feature's transaction."""
