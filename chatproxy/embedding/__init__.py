"""What texts mean: vectors of documents, made in the background, and of the questions about them."""
