"""The keys under which handlers find the parts of the application."""

from typing import Final

from aiohttp import web

from chatproxy.answers.peers import Peers
from chatproxy.chat import ChatService
from chatproxy.clock import Looks
from chatproxy.config import Config
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.generation.ticket import Entrance
from chatproxy.models.hosts import Hosts
from chatproxy.models.readiness import Readiness
from chatproxy.store.store import Store
from chatproxy.web.metrics import Metrics

CONFIG: Final = web.AppKey("CONFIG", Config)
STORE: Final = web.AppKey("STORE", Store)
MODELS: Final = web.AppKey("MODELS", Hosts)
READINESS: Final = web.AppKey("READINESS", Readiness)
REGISTRY: Final = web.AppKey("REGISTRY", GenerationRegistry)
QUEUE: Final[web.AppKey[Entrance]] = web.AppKey("QUEUE")
METRICS: Final = web.AppKey("METRICS", Metrics)
LOOKS: Final = web.AppKey("LOOKS", Looks)
PEERS: Final[web.AppKey[Peers]] = web.AppKey("PEERS")
CHAT: Final = web.AppKey("CHAT", ChatService)
