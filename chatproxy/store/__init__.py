"""SQLite, and all the SQL there is."""
