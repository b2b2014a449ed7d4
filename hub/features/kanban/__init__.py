"""The board of a room: columns with limits, cards, who does what next."""
