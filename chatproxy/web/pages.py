"""The page at `/`, and the folder that it and embedding pages load from: `static/`, as files."""

from pathlib import Path
from typing import Final

from aiohttp import web

from chatproxy.errors import ChatError
from chatproxy.web.operation import operation

routes: Final = web.RouteTableDef()
FOLDER: Final = Path(__file__).resolve().parent.parent / "static"

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",  # types, for editors
}
# By its name in an address: no other path leads anywhere.
FILES: Final = {
    path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*.*") if path.suffix in MEDIA_TYPES
}
# Only what chatproxy itself serves runs, is shown or called; `blob:` is for pictures about to be sent.
POLICY: Final = "; ".join(
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
HEADERS: Final = {
    "Cache-Control": "no-cache",  # kept, and asked about each time: a new version shows at once
    "Content-Security-Policy": POLICY,
}

HTML: Final = {"text/html": str}


@routes.get("/")
@operation(
    "getPage",
    "The chat page.",
    tag="pages",
    answers={200: HTML},
)
async def page(request: web.Request) -> web.StreamResponse:
    return _file("page/index.html")


@routes.get("/docs")
@operation(
    "getDocs",
    "The API reference page.",
    tag="pages",
    answers={200: HTML},
)
async def docs(request: web.Request) -> web.StreamResponse:
    return _file("docs/index.html")


@routes.get("")
async def mount(request: web.Request) -> web.StreamResponse:
    """Where a host application mounts this, without the final slash that the page's addresses need."""
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
    name = request.match_info["path"]
    if name not in FILES:
        raise ChatError("not_found", f"There is no file {name[:200]} here.")
    return _file(name)


def _file(name: str) -> web.FileResponse:
    path = FILES[name]
    return web.FileResponse(path, headers={**HEADERS, "Content-Type": MEDIA_TYPES[path.suffix]})
