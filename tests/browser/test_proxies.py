"""The page behind a proxy: one that changes the Host, and one whose login has expired."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from browser import ANSWER, NAMED, Site, browser, browser_test, site
from fake_ollama import Gate, Script, answer
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


# What a page asks for after it has been in use; each with the code of its failure.
CALLS: Final = """async (session) => {
  const { createChatClient } = await import("/static/chat-client.js");
  const client = createChatClient();
  const code = (promise) => promise.then(() => "no error", (error) => error.code);
  let began;
  const begun = new Promise((resolve) => (began = resolve));
  const reading = code(client.sendMessageStream(session, { message: "Hello" }, began));
  await begun;
  await window.expire();
  const file = new File(["x".repeat(100_000)], "a.txt", { type: "text/plain" });
  const codes = {
    list: await code(client.sessions.list()),
    send: await code(client.sendMessageStream(session, { message: "Hello" })),
    upload: await code(client.documents.create(file, { onProgress() {} })),
  };
  await window.cut();
  return { ...codes, reading: await reading };
}"""


def refused(_: web.Request) -> web.Response:
    return web.Response(status=401, text="<h1>Log in</h1>", content_type="text/html")


def page_instead(_: web.Request) -> web.Response:
    return web.Response(text="<h1>Log in</h1>", content_type="text/html")


def elsewhere(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "http://login.invalid/"})


def here(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "/login"})


def repeated(_: web.Request) -> web.Response:
    """Have the browser send the same again to the login, which does not take it."""
    return web.Response(status=307, headers={"Location": "/login"})


WAYS: Final = (refused, page_instead, elsewhere, here, repeated)


async def test_a_login_that_expired_is_told_apart_wherever_it_is_met(site: Site) -> None:
    expired: Callable[[web.Request], web.Response] | None = None

    @web.middleware
    async def proxy(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path == "/login":
            is_form = request.method == "GET" and expired is here
            return page_instead(request) if is_form else web.json_response({"detail": "no"}, status=405)
        if expired and request.path.startswith("/api/"):
            return expired(request)
        return await handler(request)

    async def expire() -> None:
        nonlocal expired
        expired = way

    async def cut() -> None:
        site.cut()

    site.middlewares.append(proxy)
    page = await site.open()
    await page.expose_function("expire", expire)
    await page.expose_function("cut", cut)
    for way in WAYS:
        site.fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
        session = await site.new_session()
        gate.let(1)
        codes = await page.evaluate(CALLS, session)
        expected = dict.fromkeys(("list", "send", "upload", "reading"), "login_expired")
        assert (way.__name__, codes) == (way.__name__, expected)
        gate.open()
        expired = None
    expired = refused
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(page.locator("#problem")).to_contain_text("Your login has expired")
    await expect(page.locator("#problem").get_by_role("button", name="Reload the page")).to_be_visible()
    site.faults.clear()  # the policy does not let a redirect lead elsewhere
    site.requests.clear()
