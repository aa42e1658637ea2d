"""How often the right passage of a document is found: `make retrieval`."""
