"""Other APIs that the same server speaks: Ollama's, OpenAI's, Anthropic's and the AI SDK's."""
