"""What the handlers find in the application, and who is asking."""

from typing import Final

from aiohttp import web

from chatproxy.chat import ChatService
from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.models.catalog import ModelCatalog
from chatproxy.ollama.client import Ollama
from chatproxy.store.store import Store
from chatproxy.web.metrics import Metrics

CONFIG: Final = web.AppKey("CONFIG", Config)
STORE: Final = web.AppKey("STORE", Store)
OLLAMA: Final = web.AppKey("OLLAMA", Ollama)
MODELS: Final = web.AppKey("MODELS", ModelCatalog)
REGISTRY: Final = web.AppKey("GENERATIONS", GenerationRegistry)
METRICS: Final = web.AppKey("METRICS", Metrics)
CHAT: Final = web.AppKey("CONVERSATION", ChatService)


def owner(request: web.Request) -> str:
    """Whose sessions these are: the user that `TRUSTED_USER_HEADER` names, or nobody in particular.

    Raises `unauthorized` where a user must be named and is not, more than one is, or not in UTF-8."""
    header = request.app[CONFIG].trusted_user_header
    if header is None:
        return ""
    users = request.headers.getall(header, [])
    if len(users) != 1 or not users[0].strip() or not users[0].isprintable():
        raise ChatError(
            "unauthorized", f"The request names no user; have the proxy in front set {header} once."
        )
    return users[0].strip()
