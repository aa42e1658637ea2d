"""A streaming chat sidecar for Ollama: sessions, messages, and answers token by token."""

__version__ = "0.1.0"

from chatproxy.app import create_app
from chatproxy.config import Config

__all__ = ["Config", "__version__", "create_app"]
