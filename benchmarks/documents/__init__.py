"""What documents cost: uploads, searches, and reading each format."""
