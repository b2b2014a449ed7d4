"""Looking at what is installed and running: each check says how it is, and what to do where it is not well."""
