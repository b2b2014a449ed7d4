"""Ways to run code apart from the machine, one file each, all behind `engine.Engine`."""
