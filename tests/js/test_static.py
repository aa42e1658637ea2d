"""The files of the browser side as chatproxy serves them, and what they must not contain."""

import re
from pathlib import Path
from typing import Final

import pytest
from chat_client import Client

STATIC: Final = Path(__file__).parents[2] / "chatproxy" / "static"
MODULES: Final = sorted(path for path in STATIC.rglob("*.js") if "vendor" not in path.parts)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/element", "text/html; charset=utf-8"),
        ("/static/page/page.js", "text/javascript; charset=utf-8"),
        ("/static/page/base.css", "text/css; charset=utf-8"),
        ("/static/custom-elements.json", "application/json"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
async def test_files_have_their_type_and_are_revalidated(client: Client, path: str, media_type: str) -> None:
    url, accepted = client.url(path), {"Accept": media_type}
    async with client.http.get(url, headers=accepted) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == media_type
        assert response.headers["Referrer-Policy"] == "no-referrer"
        etag = response.headers["ETag"]
    async with client.http.get(url, headers={**accepted, "If-None-Match": etag}) as response:
        assert response.status == 304
    async with client.http.head(url) as response:
        assert response.status == 200


@pytest.mark.parametrize("page", ["page/index.html", "docs/index.html", "docs/element.html"])
def test_pages_have_nothing_inline_and_only_relative_urls(page: str) -> None:
    html = (STATIC / page).read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", html)
    assert not re.search(r"https?:|(?:src|href)=\"/", html)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_no_module_writes_html(module: Path) -> None:
    html = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\("
    assert not re.search(html, module.read_text())
