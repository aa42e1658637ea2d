"""Conversations of other programs, and of other chatproxies: what they export, read as it arrives."""
