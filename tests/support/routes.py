"""Every route of the application, so that a test which walks them cannot forget a new one.

    for method, path in routes():                # ("GET", "/api/chat/sessions/{sid}"), ...
        await client.call(method, address(path), status=404)

The tables say which routes are open without a token or a user, and which by any name for the server.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from chat_client import Client

from chatproxy import Config, create_app

# Without a token and without a user: probes, the page and what it is made of, and the login.
OPEN: Final = {"/", "", "/healthz", "/readyz", "/static/{path}", "/docs", "/docs/element", "/openapi.json"}
LOGIN: Final = ("POST", "/api/login")
# Where there are no visitors, it is as if it were missing.
VISITOR: Final = ("POST", "/api/chat/visitors")
# By any `Host`: a probe knows the server by an address of the machine's.
ANY_HOST: Final = {"/healthz", "/readyz", "/metrics"}
# How a page probes.
PROBE: Final = ("POST", "/readyz")
# Of Ollama, which knows no users; the names in them are its own.
PASSED: Final = {"/v1/models/{model}", "/v1/{rest}"}
# Of a chat that does not exist yet, or is another user's: as of one without messages, with this status.
EMPTY: Final = {"/api/chat/ui/{sid}": 200, "/api/chat/ui/{sid}/stream": 204}
IMAGES: Final = "/api/chat/sessions/{sid}/messages/{mid}/images/"
NOT_FOUND: Final = "/{path}"  # what answers where there is nothing

Route = tuple[str, str]


def routes() -> list[Route]:
    """Return method and path of every route but preflights; the path has its names in braces."""
    app = create_app(Config())
    return sorted(
        {
            (route.method, route.resource.canonical)
            for route in app.router.routes()
            if route.resource is not None and route.method != "OPTIONS"
        }
    )


def changing() -> list[Route]:
    return [(method, path) for method, path in routes() if method not in {"GET", "HEAD"}]


def is_open(method: str, path: str) -> bool:
    return (path in OPEN and method in {"GET", "HEAD"}) or (method, path) in {LOGIN, VISITOR, PROBE}


_NUMBERS: Final = count()

# For each name that a path may have in braces, a value and the way to make one that exists.
FILE: Final = "page/page.js"


def address(path: str) -> str:
    """Fill in the names in a path; there are no such session, message and document."""
    names = {"sid": "none", "mid": "1", "n": "0", "id": "1", "path": FILE, "model": "none", "rest": "none"}
    return path.format_map({**names, "rid": "resp_none_1"})


async def existing(client: Client, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Make a session with an answer, and a document; return what stands for them in a path."""
    session = await client.new_session(headers=headers)
    path = f"/api/chat/sessions/{session}/messages"
    sent = await client.call("POST", path, headers=headers, json={"message": "Hello"})
    text = {"title": "Rainbows", "text": f"Bent light {session}"}
    document = await client.call("POST", "/api/documents", status=201, headers=headers, json=text)
    asked = {"input": "Hello", "store": True}
    response = await client.call("POST", "/v1/responses", headers=headers, json=asked)
    ids = {"sid": session, "mid": sent["assistantMessageId"], "id": document["id"], "rid": response["id"]}
    return {**ids, "path": FILE, "model": "words", "rest": "models"}


async def place(client: Client, path: str, headers: Mapping[str, str] | None = None) -> str:
    """Fill in the names in a path with those of what exists."""
    if not path.startswith(IMAGES):
        return path.format_map(await existing(client, headers))
    # Imported, because a model that sees is not everywhere.
    chat = {"messages": [{"role": "user", "content": "Look", "images": ["data:image/png;base64,YWJj"]}]}
    asked = {"id": str(next(_NUMBERS)), "chat": chat}
    made = await client.call("POST", "/api/chat/sessions/import", headers=headers, json=asked)
    session = made["sessions"][0]["sessionId"]
    listed = await client.call("GET", f"/api/chat/sessions/{session}/messages", headers=headers)
    return path.format_map({"sid": session, "mid": listed["messages"][0]["id"], "n": 0})
