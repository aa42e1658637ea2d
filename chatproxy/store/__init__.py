"""SQLite, and all of the SQL."""
