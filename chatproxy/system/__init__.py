"""What differs between systems. What one lacks is done in its own way, or left out."""
