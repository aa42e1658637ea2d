"""The pages at `/` and `/docs`, and `static/`: the files that they and embedding pages load."""

from pathlib import Path
from typing import Final

from aiohttp import web

from chatproxy.errors import ChatError
from chatproxy.web.faces.dialects import MOUNT
from chatproxy.web.keys import CONFIG
from chatproxy.web.operation import operation

routes: Final = web.RouteTableDef()
FOLDER: Final = Path(__file__).resolve().parents[2] / "static"

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",  # declarations, for editors
}
# By path in a URL. Only these files are served, so no path leads out of the folder.
FILES: Final = {
    path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*.*") if path.suffix in MEDIA_TYPES
}
# Scripts, styles, images and requests only from chatproxy itself; `blob:` is for images about to be sent.
PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
FILE_HEADERS: Final = {
    "Cache-Control": "no-cache",  # cached, but revalidated each time, so that a new version is seen at once
    "Content-Security-Policy": PAGE_POLICY,
}

HTML: Final = {"text/html": str}


@routes.get("/")
@operation(
    "getPage",
    "The chat page, for what accepts HTML; for all others, that Ollama is running.",
    tag="pages",
    answers={200: {**HTML, "text/plain": str}},
)
async def page(request: web.Request) -> web.StreamResponse:
    """Return the chat page, or to clients of Ollama what it says at this address, by which they know it."""
    is_page = "text/html" in request.headers.get("Accept", "").lower() or not request.app[CONFIG].passthrough
    response = _file("page/index.html") if is_page else web.Response(text="Ollama is running")
    response.headers["Vary"] = "Accept"
    return response


@routes.get("/docs")
@operation(
    "getDocs",
    "The API reference page.",
    tag="pages",
    answers={200: HTML},
)
async def docs(request: web.Request) -> web.StreamResponse:
    """Return the API reference page."""
    return _file("docs/index.html")


@routes.get("", name=MOUNT)
async def mount(request: web.Request) -> web.StreamResponse:
    """Redirect from the mount point in a host application to the page.

    The page's relative URLs need the trailing slash.
    """
    last = request.rel_url.raw_parts[-1]
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    return web.Response(status=308, headers={"Location": f"./{last}/{query}"})


@routes.get("/static/{path:.+}")
@operation(
    "getStaticFile",
    "A static asset.",
    tag="pages",
    answers={200: {kind.partition(";")[0]: str for kind in MEDIA_TYPES.values()}},
)
async def file(request: web.Request) -> web.StreamResponse:
    """Return a file. Raises `not_found`."""
    name = request.match_info["path"]
    if name not in FILES:
        raise ChatError("not_found", f"There is no file {name[:200]} here.")
    return _file(name)


def _file(name: str) -> web.StreamResponse:
    path = FILES[name]
    return web.FileResponse(path, headers={**FILE_HEADERS, "Content-Type": MEDIA_TYPES[path.suffix]})
