"""What Ollama is asked: the request, the history and passages that fit, and the models to ask."""
