"""What is done beside the process that may be serving: backup, check, and removal of what is old."""
