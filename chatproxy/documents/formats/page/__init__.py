"""A page of HTML, read from its tags."""
