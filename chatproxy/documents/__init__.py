"""From an uploaded file to the chunks of text that answers quote. No HTTP, no SQL."""
