"""A streaming chat sidecar for Ollama: sessions, messages, and answers token by token."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatproxy.app import create_app, drain
    from chatproxy.config import Config

__version__ = "0.1.0"
__all__ = ["Config", "__version__", "create_app", "drain"]

_MODULES = {"Config": "chatproxy.config", "create_app": "chatproxy.app", "drain": "chatproxy.app"}


def __getattr__(name: str) -> object:
    """Import `Config`, `create_app` or `drain` on first use.

    The process that reads a document needs none of them, and starts sooner without them.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
