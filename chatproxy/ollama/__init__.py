"""Everything that knows how Ollama speaks."""
