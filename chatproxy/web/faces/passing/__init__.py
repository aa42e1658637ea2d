"""Requests that are passed on to Ollama as they are, and its responses, byte for byte."""
