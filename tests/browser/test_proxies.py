"""The page behind a proxy."""

from pathlib import Path
from typing import Final

import pytest
from browser import ANSWER, NAMED, Site, browser, browser_test, site
from faults.place import free_port
from proxies import PROXIES, need, running

pytest.importorskip("playwright")
from playwright.async_api import expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

LINE: Final = "#ollama"
SERVER: Final = """
server {
    listen 127.0.0.1:@PORT@;
    location /bare/ { proxy_pass http://UPSTREAM/; }
    location /named/ { proxy_pass http://UPSTREAM/; proxy_set_header X-Forwarded-Host $http_host; }
    location /passed/ { proxy_pass http://UPSTREAM/; proxy_set_header Host $http_host; }
}
"""


async def test_the_page_says_what_to_set_before_anything_is_sent(site: Site, tmp_path: Path) -> None:
    """Over plain HTTP, browsers do not say that a request comes from a page of the same server."""
    need("nginx")
    await site.start()
    port = free_port()
    server = SERVER.replace("UPSTREAM", site.url.removeprefix("http://"))
    async with running(PROXIES["nginx"], tmp_path, port, server):
        there = f"http://{NAMED}:{port}"
        context = await site.context(locale="de")
        page = await site.open(context=context, url=f"{there}/bare/")
        assert not await page.evaluate("isSecureContext")
        await expect(page.locator(LINE)).to_contain_text(f"erkennt {there} nicht als seine eigene Adresse")
        await expect(page.locator(LINE)).to_contain_text("proxy_set_header Host $http_host;")
        await expect(page.locator(LINE)).to_contain_text(f"CORS_ORIGINS={there}.")
        await page.goto(f"{there}/passed/")
        await expect(page.locator("body")).to_contain_text(f"set ALLOWED_HOSTS={NAMED}, or add")
        await page.goto(f"{there}/named/")
        await site.ask(page, "Hello")
        await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
        await expect(page.locator(LINE)).to_be_empty()
        await page.goto(f"{there}/named/docs")
        await expect(page.locator("#getReadiness")).to_contain_text(f"{there}/named/readyz")
    site.requests.clear()  # of the proxy
