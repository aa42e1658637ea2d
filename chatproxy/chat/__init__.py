"""The domain: what is said, by whom, and who is watching. No HTTP, no SQL."""
