"""Browsers: pairing the extension, a tab's own agent, and how well a tab finds its way on the page."""
