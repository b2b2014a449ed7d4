"""Where rows and bytes live. `interface.py` is the seam; SQLite and PostgreSQL stand behind it."""
