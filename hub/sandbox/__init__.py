"""Running code apart from the machine: engines, the runner process, choosing. Knows nothing of rooms; imports only
the standard library, so that the runner starts fast and stays small."""
