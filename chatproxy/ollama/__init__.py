"""Everything that knows Ollama's API: its calls, its stream and its JSON."""
