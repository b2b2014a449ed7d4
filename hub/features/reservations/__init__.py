"""Advisory leases on paths: who is editing what, so that agents do not step on each other."""
