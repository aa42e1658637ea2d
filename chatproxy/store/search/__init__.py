"""What texts are found by: indexes of their words, derived from what the store keeps."""
