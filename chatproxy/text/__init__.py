"""What can be told from a text alone: reasoning between tags, and a title."""
