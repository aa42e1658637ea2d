"""From a file to the pieces of text that answers draw on. No HTTP, no SQL."""
