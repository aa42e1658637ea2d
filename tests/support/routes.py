"""Every route that there is, walked, so that a new one cannot be forgotten."""

from typing import Final

from chatproxy import Config, create_app

# What is open to everybody: probes, the page and what it is made of.
OPEN: Final = {"/", "", "/healthz", "/readyz", "/static/{path}", "/docs", "/openapi.json"}
# Probes and metrics are asked for by whatever name or address a machine has for the server.
NAMELESS: Final = {"/healthz", "/readyz", "/metrics"}


def routes() -> list[tuple[str, str]]:
    """Method and path, its names in braces; without preflights."""
    app = create_app(Config())
    return sorted(
        {
            (route.method, route.resource.canonical)
            for route in app.router.routes()
            if route.resource is not None and route.method != "OPTIONS"
        }
    )


def is_open(method: str, path: str) -> bool:
    return path in OPEN and method in {"GET", "HEAD"}


def place(path: str) -> str:
    """With something in the place of each name."""
    return path.format_map({"sid": "none", "mid": "1", "id": "1", "path": "page/page.js"})
