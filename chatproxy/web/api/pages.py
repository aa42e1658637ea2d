"""The pages at `/`, `/docs` and `/docs/element`, and `static/`: the files that they and embedding pages load.

What the build bundled is in `static/dist/`. A file there with the path of a source is served in its place. It
names others, which have the hash of their content in their names, and never change. A checkout has none.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
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
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",  # declarations, for editors
    ".txt": "text/plain; charset=utf-8",  # licences
    ".webmanifest": "application/manifest+json",
}
NO_MARKDOWN: Final = (
    "the page shows Markdown as plain text, for want of its library; install npm, and then chatproxy again"
)
HASHED: Final = re.compile(r"dist/[\w-]+-[0-9A-Z]{8}\.(css|js)")
# Scripts, styles, images and requests only from chatproxy itself; `blob:` is for images about to be sent.
PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
REVALIDATED: Final = {"Cache-Control": "no-cache"}  # cached, but a new version is seen at once
IMMUTABLE: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
BY_ENCODING: Final = {"Vary": "Accept-Encoding"}

HTML: Final = {"text/html": str}


@cache
def files() -> Mapping[str, Path]:
    """Return the files by path in a URL. Only these are served, so no path leads out of the folder."""
    return {
        path.relative_to(FOLDER).as_posix(): path
        for path in FOLDER.rglob("*.*")
        if path.suffix in MEDIA_TYPES
    }


def has_markdown() -> bool:
    """Return whether there is the library that reads Markdown, which npm makes during the installation."""
    return (FOLDER / "vendor/marked.js").exists()


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
    response = _file(request, "page/index.html") if is_page else web.Response(text="Ollama is running")
    response.headers.add("Vary", "Accept")
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
    return _file(request, "docs/index.html")


@routes.get("/docs/element")
@operation(
    "getElementDocs",
    "The reference page of the elements.",
    tag="pages",
    answers={200: HTML},
)
async def element_docs(request: web.Request) -> web.StreamResponse:
    """Return the reference page of the elements, with a live example."""
    return _file(request, "docs/element.html")


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
    if name not in files():
        raise ChatError("not_found", f"There is no file {name[:200]} here.")
    return _file(request, name)


def _file(request: web.Request, name: str) -> web.StreamResponse:
    source = files()[name]
    path = files().get(f"dist/{name}", source)
    headers = {"Content-Type": MEDIA_TYPES[path.suffix], "Content-Security-Policy": PAGE_POLICY}
    if HASHED.fullmatch(name):
        return web.FileResponse(path, headers=headers | IMMUTABLE | BY_ENCODING)
    if path is not source:
        return _instead(request, path, headers | REVALIDATED | BY_ENCODING)
    return web.FileResponse(path, headers=headers | REVALIDATED)


def _instead(request: web.Request, path: Path, headers: dict[str, str]) -> web.Response:
    """Return what is served in place of a source.

    Between two versions, only the hashes in it differ. Size and time, of which aiohttp makes tags, may not.
    """
    if "gzip" in request.headers.get("Accept-Encoding", "").lower():
        path = path.with_name(f"{path.name}.gz")
        headers["Content-Encoding"] = "gzip"
    body = path.read_bytes()
    tag = hashlib.sha256(body).hexdigest()[:16]
    headers["ETag"] = f'"{tag}"'
    if tag in {each.value for each in request.if_none_match or ()}:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers)
