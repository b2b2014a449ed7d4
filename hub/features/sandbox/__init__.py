"""Running code apart from the machine. So far only the engines; nothing in a room can start a run yet."""
