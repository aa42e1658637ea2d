"""The growing text of an answer, its events and its subscribers."""
