"""What Excel and PowerPoint write."""
